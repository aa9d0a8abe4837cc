"""The sums equal sha256sum's."""

import hashlib
import os
import subprocess
import threading
import unittest

from support import Case, expected_sums, make_odd_tree, pattern


class Sums(Case):
    def test_of_an_odd_tree(self):
        make_odd_tree(self)
        self.assert_sums(["tree"])

    def test_do_not_depend_on_block_size_and_workers(self):
        make_odd_tree(self)
        for block in ("1000", "4096", "1M"):
            for workers in ("1", "3"):
                with self.subTest(block=block, workers=workers):
                    self.assert_sums(["tree"], "--block", block, "--workers", workers)

    def test_with_blocks_of_one_byte(self):
        for size in (0, 1, 2, 63, 64, 65, 200):
            self.write(f"tree/{size}", pattern(size))
        self.assert_sums(["tree"], "--block", "1")

    def test_print_paths_as_find_does(self):
        self.write("tree/x", b"x")
        self.write("other", b"y")
        os.symlink("tree", self.folder / "link")
        for inputs in (["tree/"], ["./tree"], ["tree//"], ["."], ["other"], ["link/"], ["link"],
                       [str(self.folder)], ["other", "tree", "tree/x", "tree"]):
            with self.subTest(inputs=inputs):
                self.assert_sums(inputs)

    def test_without_input_are_of_the_working_directory(self):
        self.write("tree/x", b"x")
        finished = self.run_ufence("run")
        self.assert_succeeded(finished)
        self.assertEqual(finished.stdout, expected_sums(self.folder, ["."]))

    def test_of_the_command_sum_keep_the_order_of_its_arguments(self):
        for name in ("b", "a", "c/2", "c/1"):
            self.write(name, name.encode())
        finished = self.run_ufence("sum", "b", "c/2", "a", "./b")
        self.assert_succeeded(finished)
        self.assertEqual(finished.stderr, b"")
        sums = subprocess.run(["sha256sum", "b", "c/2", "a", "./b"], cwd=self.folder, check=True,
                              stdout=subprocess.PIPE)
        self.assertEqual(finished.stdout, sums.stdout)
        finished = self.run_ufence("sum", "c", "missing", "a")
        self.assert_succeeded(finished, 1)
        self.assertEqual(finished.stderr, b"ufence: missing: No such file or directory\n")
        self.assertEqual(finished.stdout, expected_sums(self.folder, ["c"]) +
                         expected_sums(self.folder, ["a"]))

    def test_of_files_whose_size_says_nothing(self):
        # In /proc the size is 0, in /sys it is a page, and reads are short.
        inputs = ["/proc/version", "/proc/filesystems", "/sys/kernel/notes", "/proc/self/mem",
                  "/sys/devices/system/cpu/possible", "/proc/kallsyms"]
        inputs = [path for path in inputs if os.path.exists(path) and path != "/proc/self/mem"]
        for block in ("7", "4096", "128k"):
            chosen = [path for path in inputs if block != "7" or path != "/proc/kallsyms"]
            with self.subTest(block=block):
                self.assert_sums(chosen, "--block", block)

    def test_of_a_growing_file_are_of_what_was_there(self):
        content = pattern(4 << 20)
        path = self.folder / "growing"
        path.write_bytes(b"")
        is_over = threading.Event()

        def grow():
            with open(path, "ab", buffering=0) as file:
                for at in range(0, len(content), 1009):
                    file.write(content[at:at + 1009])
                    if is_over.is_set():
                        return

        writer = threading.Thread(target=grow)
        writer.start()
        sizes = []

        def look():
            finished = self.run_ufence("run", "--input", "growing", "--json", "--output", "sums",
                                       "--block", "4096")
            self.assert_succeeded(finished)
            sizes.append(self.report(finished)["bytes"])
            sum_ = (self.folder / "sums").read_text().split()[0]
            self.assertEqual(sum_, hashlib.sha256(content[:sizes[-1]]).hexdigest())

        try:
            while writer.is_alive() and len(sizes) < 30:
                look()
        finally:
            is_over.set()
            writer.join()
        look()
        self.assertEqual(sizes, sorted(sizes))
        self.assertEqual(sizes[-1], path.stat().st_size)

    def test_of_many_files_with_few_descriptors(self):
        make_odd_tree(self)
        for number in range(200):
            self.write(f"tree/many/{number // 10}/{number}", pattern(number * 100, number))
        finished = self.run_in_folder(
            ["sh", "-c", "ulimit -n 64 && exec \"$@\"", "sh", os.environ["UFENCE_PROGRAM"], "run",
             "--quiet", "--input", "tree"])
        self.assertEqual(finished.stderr, b"")
        self.assertEqual(finished.stdout, expected_sums(self.folder, ["tree"]))


if __name__ == "__main__":
    unittest.main()
