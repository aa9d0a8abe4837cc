"""Blocks are put together rightly whatever the order in which their reads end.

In place of `uring` there is a module that completes reads in any order, late, and with errors.
"""

import hashlib
import os
import pathlib
import shutil
import threading
import unittest

from support import Case, expected_sums, make_odd_tree, pattern, until_met

DRIVERS = pathlib.Path(os.environ["UFENCE_DRIVERS"])
STAND_IN = pathlib.Path(os.environ["UFENCE_TEST_DRIVERS"]) / "tool_slow_reader.so"


class Order(Case):
    def setUp(self):
        super().setUp()
        (self.folder / "drivers").mkdir()
        shutil.copy(DRIVERS / "cpu.so", self.folder / "drivers" / "cpu.so")
        shutil.copy(STAND_IN, self.folder / "drivers" / "uring.so")

    def run_with_stand_in(self, inputs, *options, **environment):
        return self.run_ufence("run", "--quiet", "--driver-path", "drivers", "--output", "sums",
                               "--json", "--input", *inputs, *options,
                               env=dict(os.environ, **{f"UFENCE_TEST_{name.upper()}": str(value)
                                                       for name, value in environment.items()}))

    def assert_right(self, finished, inputs):
        self.assertEqual(finished.stderr, b"")
        self.assert_succeeded(finished)
        self.assertEqual((self.folder / "sums").read_bytes(), expected_sums(self.folder, inputs))
        return self.report(finished)

    def test_does_not_matter(self):
        make_odd_tree(self)
        for number in range(3):
            self.write(f"tree/long/{number}", pattern(200_000 + number, number))
        for seed in range(4):
            with self.subTest(seed=seed):
                self.assert_right(self.run_with_stand_in(["tree"], "--block", "4096", seed=seed),
                                  ["tree"])

    def test_does_not_matter_while_modules_come_and_go(self):
        for number in range(8):
            self.write(f"tree/long/{number}", pattern(100_000 + number, number))
            self.write(f"tree/short/{number}", pattern(number * 1000, number))
        resubmitted = replaced = 0
        for seed in until_met(lambda: resubmitted and replaced, at_least=6):
            policy = ("drain", "cancel", "cancel")[seed % 3]
            with self.subTest(seed=seed, policy=policy):
                report = self.assert_right(
                    self.run_with_stand_in(["tree"], "--block", "4096", "--reload-every", "1",
                                           "--hold", "--policy", policy, seed=seed), ["tree"])
                replaced += report["module_loads"] - 2
                self.assertEqual(report["fences_held_at_exit"], report["fences_outliving_issuer"])
                resubmitted += report["resubmitted"]

    def test_errors_in_the_middle_of_a_file_leave_no_sum_of_it(self):
        block = 4096
        for size in (3 * block + 1, 20 * block, 20 * block + 7, 9):
            self.write(f"tree/{size:08}", pattern(size, size))
        for fail_at in (0, 1, block, 10 * block - 1, 20 * block - 1, 20 * block):
            for seed in range(3):
                with self.subTest(fail_at=fail_at, seed=seed):
                    finished = self.run_with_stand_in(["tree"], "--block", str(block),
                                                      fail_at=fail_at, seed=seed)
                    sizes = sorted(int(name) for name in os.listdir(self.folder / "tree"))
                    whole = [f"tree/{size:08}" for size in sizes if size <= fail_at]
                    failed = [f"tree/{size:08}" for size in sizes if size > fail_at]
                    self.assert_succeeded(finished, 1)
                    self.assertEqual((self.folder / "sums").read_bytes(),
                                     expected_sums(self.folder, whole) if whole else b"")
                    self.assertEqual(sorted(finished.stderr.decode().splitlines()),
                                     [f"ufence: {name}: Input/output error" for name in failed])

    def test_does_not_matter_for_a_growing_file(self):
        content = pattern(400_000)
        path = self.folder / "file"
        path.write_bytes(content[:1000])
        is_over = threading.Event()

        def grow():
            with open(path, "ab", buffering=0) as file:
                for at in range(1000, len(content), 1000):
                    file.write(content[at:at + 1000])
                    if is_over.wait(0.002):
                        return

        writer = threading.Thread(target=grow)
        writer.start()
        try:
            for seed in range(100):
                finished = self.run_with_stand_in(["file"], "--block", "1000", seed=seed)
                self.assert_succeeded(finished)
                size = self.report(finished)["bytes"]
                self.assertEqual((self.folder / "sums").read_text().split()[0],
                                 hashlib.sha256(content[:size]).hexdigest())
                if not writer.is_alive():
                    break
        finally:
            is_over.set()
            writer.join()


if __name__ == "__main__":
    unittest.main()
