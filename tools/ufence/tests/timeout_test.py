"""A module hangs; it is replaced, and the sums stay right."""

import os
import pathlib
import shutil
import signal
import unittest

from support import PATIENCE_S, Case, expected_sums, pattern, wait_until

DRIVERS = pathlib.Path(os.environ["UFENCE_DRIVERS"])
TEST_DRIVERS = pathlib.Path(os.environ["UFENCE_TEST_DRIVERS"])


class Timeout(Case):
    def setUp(self):
        super().setUp()
        drivers = self.folder / "drivers"
        drivers.mkdir()
        shutil.copy(DRIVERS / "cpu.so", drivers)
        shutil.copy(TEST_DRIVERS / "tool_slow_reader.so", drivers / "uring.so")
        for number in range(60):
            self.write(f"tree/{number}", pattern(number * 300, number))
        self.write("tree/large", pattern(300_000))

    def environment(self, hang_at):
        return {**os.environ, "UFENCE_TEST_HANG_AT": str(hang_at)}

    def test_a_hang_is_a_reset_and_nothing_is_lost(self):
        for options in ([], ["--clients", "2", "--hold"], ["--reload-every", "30", "--policy", "cancel"]):
            with self.subTest(options=options):
                finished = self.run_ufence("run", "--input", "tree", "tree/large", "--driver-path", "drivers",
                                           "--block", "4096", "--timeout", "200", "--output", "sums",
                                           "--json", *options, env=self.environment(40))
                self.assert_succeeded(finished)
                report = self.report(finished)
                self.assertEqual((self.folder / "sums").read_bytes(),
                                 expected_sums(self.folder, ["tree", "tree/large"]))
                self.assertEqual(report["errors"], 0)
                self.assertEqual(report["unloads_unmapped"], report["module_loads"])
                if not options:
                    self.assertGreater(report["resets"], 0)
                    self.assertGreaterEqual(report["timeouts"], report["resets"])
                    self.assertGreaterEqual(report["resubmitted"], report["resets"])
                    self.assertRegex(finished.stderr.decode(),
                                     r'entity "client 1", scheduler "uring", device "uring".*not ended in time')

    def test_a_file_that_always_hangs_is_given_up(self):
        finished = self.run_ufence("run", "--input", "tree/1", "--driver-path", "drivers", "--timeout", "20",
                                   "--json", env=self.environment(1))
        self.assertEqual(finished.returncode, 1)
        self.assertIn("tree/1: Connection timed out", finished.stderr.decode())
        report = self.report(finished)
        self.assertEqual((report["files"], report["resets"]), (0, 9))

    @staticmethod
    def thread_names(pid):
        names = []
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            try:
                names.append((task / "comm").read_text().strip())
            except FileNotFoundError:
                pass
        return names

    def test_without_a_timeout_a_hang_stays_one(self):
        running = self.start_ufence("run", "--input", "tree", "--driver-path", "drivers", "--output", "sums",
                                    "--quiet", env=self.environment(3))
        self.addCleanup(running.kill)
        wait_until(lambda: "slow-reader" in self.thread_names(running.pid), "the module")
        running.send_signal(signal.SIGINT)
        self.assertEqual(running.wait(PATIENCE_S), 130)
        self.assertFalse((self.folder / "sums").exists())


if __name__ == "__main__":
    unittest.main()
