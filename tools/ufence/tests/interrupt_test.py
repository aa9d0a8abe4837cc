"""Signals end a run cleanly; progress is shown on a terminal only."""

import os
import pty
import signal
import subprocess
import unittest

from support import PATIENCE_S, PROGRAM, Case, cpu_seconds, is_full, wait_until


class Interrupt(Case):
    def setUp(self):
        super().setUp()
        # Work without end: holes of files.
        for name in ("a", "b", "c"):
            self.write(f"tree/{name}", b"")
            os.truncate(self.folder / "tree" / name, 1 << 40)

    def interrupt(self, *options, number=signal.SIGINT):
        running = self.start_ufence("run", "--input", "tree", *options)
        wait_until(lambda: cpu_seconds(running.pid) > 0.2, "work")
        running.send_signal(number)
        out, problems = running.communicate(timeout=PATIENCE_S)
        return subprocess.CompletedProcess(running.args, running.returncode, out, problems)

    def test_is_130_and_leaves_nothing_behind(self):
        self.write("old", b"old")
        for options in ([], ["--output", "new"], ["--output", "old"], ["--block", "1000", "--hold"],
                        ["--block", "64M"]):
            with self.subTest(options=options):
                ended = self.interrupt(*options)
                self.assertEqual(ended.returncode, 130, ended.stderr)
                self.assertEqual(ended.stdout, b"")
                self.assertRegex(ended.stderr.decode(), r"^ufence: interrupted\n0 files, ")
                self.assertEqual(sorted(os.listdir(self.folder)), ["old", "tree"])
                self.assertEqual((self.folder / "old").read_bytes(), b"old")

    def test_in_the_middle_of_reloads(self):
        for policy in ("drain", "cancel"):
            for _ in range(3):
                ended = self.interrupt("--reload-every", "1", "--policy", policy, "--hold", "--json")
                self.assertEqual(ended.returncode, 130, ended.stderr)
                report = self.report(ended)
                self.assertEqual(report["module_loads"], report["module_unloads"])
                self.assertEqual(report["unloads_unmapped"], report["module_unloads"])
                self.assertEqual(report["fences_held_at_exit"], report["fences_issued"])
                self.assertEqual(report["files"], 0)

    def test_while_the_output_is_blocked(self):
        for number in range(3000):
            self.write(f"many/{number:04}" + "x" * 200, b"")
        running = self.start_ufence("run", "--input", "many")
        wait_until(lambda: is_full(running.stdout), "a full pipe")
        running.send_signal(signal.SIGINT)
        self.assertEqual(running.wait(PATIENCE_S), 130)
        self.assertRegex(running.communicate()[1].decode(), r"^ufence: interrupted\n\d+ files, ")

    def test_by_other_signals(self):
        self.assertEqual(self.interrupt(number=signal.SIGTERM).returncode, 128 + signal.SIGTERM)
        self.assertEqual(self.interrupt(number=signal.SIGHUP).returncode, 128 + signal.SIGHUP)


class Progress(Case):
    def show(self, *options):
        """What a run writes to a terminal until it is interrupted."""
        self.write("tree/hole", b"")
        os.truncate(self.folder / "tree" / "hole", 1 << 40)
        master, terminal = pty.openpty()
        running = self.start_ufence("run", "--input", "tree", *options, stderr=terminal)
        os.close(terminal)
        wait_until(lambda: cpu_seconds(running.pid) > 0.7, "work")
        running.send_signal(signal.SIGINT)
        shown = b""
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
        os.close(master)
        running.wait(PATIENCE_S)
        return shown.decode()

    def test_is_shown_on_a_terminal(self):
        self.assertRegex(self.show(), r"\r\x1b\[K0 files, \d+(\.\d)? [kMGT]?B, \d+(\.\d)? [kMGT]?B/s")

    def test_is_not_shown_if_quiet(self):
        self.assertEqual(self.show("--quiet"), "")

    def test_is_not_shown_in_a_pipe(self):
        self.write("x", b"x")
        finished = subprocess.run([PROGRAM, "run", "--input", "x"], cwd=self.folder,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        self.assertNotIn(b"\r", finished.stderr)


if __name__ == "__main__":
    unittest.main()
