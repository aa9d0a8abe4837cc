#!/usr/bin/env python3
"""What `ufence uapi` does around the program that it runs; what the program finds is tested elsewhere."""

import os
import signal
import subprocess
import unittest

from support import PATIENCE_S, PROGRAM, Case


class Uapi(Case):
    def run_program(self, *program, **more):
        return self.run_ufence("uapi", "--", *program, **more)

    def test_status_and_output_are_the_programs(self):
        done = self.run_program("sh", "-c", "echo out; echo err >&2; exit 7")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (7, b"out\n", b"err\n"))

    def test_options_of_the_program_are_its_own(self):
        done = self.run_program("printf", "%s|%s", "--serve", "-h")
        self.assertEqual((done.returncode, done.stdout), (0, b"--serve|-h"))

    def test_a_signal_that_ends_the_program_is_told(self):
        done = self.run_program("sh", "-c", "kill -KILL $$")
        self.assertEqual(done.returncode, 128 + signal.SIGKILL)

    def test_what_cannot_run_is_told(self):
        done = self.run_program("./no_such_program")
        self.assertEqual(done.returncode, 127)
        self.assertIn(b"./no_such_program", done.stderr)
        done = self.run_program("/dev/null")
        self.assertEqual(done.returncode, 126)
        self.assertEqual(self.run_ufence("uapi").returncode, 2)

    def test_devices_are_there_for_the_program_and_its_children(self):
        done = self.run_program("sh", "-c", "test -c /dev/sw_sync && sh -c 'exec 3<>/dev/sw_sync'")
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_a_termination_is_passed_on(self):
        running = subprocess.Popen(
            [PROGRAM, "uapi", "--", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"],
            stdout=subprocess.PIPE)
        self.assertEqual(running.stdout.readline(), b"ready\n")
        running.send_signal(signal.SIGTERM)
        self.assertEqual(running.wait(PATIENCE_S), 9)
        running.stdout.close()

    def test_other_preloaded_libraries_stay(self):
        # A sanitized `ufence` wants its own library before all others.
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        environment = dict(os.environ, LD_PRELOAD="libdl.so.2", ASAN_OPTIONS=options)
        done = self.run_program("sh", "-c", "echo $LD_PRELOAD", env=environment)
        self.assertRegex(done.stdout, rb"^/.*/libufence-preload\.so:libdl\.so\.2\n$")


if __name__ == "__main__":
    unittest.main()
