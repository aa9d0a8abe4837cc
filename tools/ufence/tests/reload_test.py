"""Modules come and go under a run, and its result does not change."""

import ctypes
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import unittest

from support import (DELAY, PATIENCE_S, Case, cpu_seconds, expected_sums, make_odd_tree, pattern, until_met,
                     wait_until)

DRIVERS = pathlib.Path(os.environ["UFENCE_DRIVERS"])
MODULES = {"cpu.so", "uring.so"}


class Reload(Case):
    def make_work(self):
        make_odd_tree(self)
        for number in range(6):
            self.write(f"tree/large/{number}", pattern(65536, number) * 160)
        for number in range(400):
            self.write(f"tree/small/{number}", pattern(number * 50, number))
        return expected_sums(self.folder, ["tree"])

    def run_reloading(self, expected, *options):
        report = {"module_loads": 0}
        for _ in until_met(lambda: report["module_loads"] > 2):
            report = self.run_and_look(expected, *options)
        return report

    def run_and_look(self, expected, *options):
        finished = self.run_ufence("run", "--input", "tree", "--output", "sums", "--json", "--quiet",
                                   "--reload-every", "1", *options)
        self.assertEqual(finished.stderr, b"")
        self.assert_succeeded(finished)
        self.assertEqual((self.folder / "sums").read_bytes(), expected)
        report = self.report(finished)
        self.assertEqual(report["files"], expected.count(b"\n"))
        self.assertEqual(report["module_loads"], report["module_unloads"])
        self.assertEqual(report["unloads_unmapped"], report["module_unloads"])
        self.assertGreater(report["unload_us_p50"], 0)
        self.assertGreaterEqual(report["unload_us_p99"], report["unload_us_p50"])
        return report

    def test_drains_and_holds(self):
        report = self.run_reloading(self.make_work(), "--hold", "--block", "16k")
        self.assertEqual(report["fences_held_at_exit"], report["fences_issued"])
        self.assertEqual(report["fences_outliving_issuer"], report["fences_issued"])
        self.assertLessEqual(report["fences_awaited"], report["fences_issued"])
        self.assertGreater(report["fences_awaited"], 0)

    def test_drains(self):
        report = self.run_reloading(self.make_work(), "--policy", "drain", "--workers", "3")
        self.assertEqual(report["fences_held_at_exit"], 0)
        self.assertLess(report["fences_outliving_issuer"], report["fences_issued"])

    def test_cancels_and_submits_again(self):
        expected = self.make_work()
        resubmitted = 0
        choices = (["--hold"], ["--hold", "--block", "4096"], ["--workers", "2"])
        for number in until_met(lambda: resubmitted, at_least=len(choices)):
            options = choices[number % len(choices)]
            report = self.run_reloading(expected, "--policy", "cancel", *options)
            resubmitted += report["resubmitted"]
            # Nothing was done twice: every block of the work is in a job that succeeded once.
            self.assertEqual(report["bytes"], self.total_bytes())

    def total_bytes(self):
        return sum(os.lstat(os.path.join(top, name)).st_size
                   for top, _, names in os.walk(os.fsencode(self.folder / "tree"))
                   for name in names
                   if os.path.isfile(os.path.join(top, name))
                   and not os.path.islink(os.path.join(top, name)))

    def test_each_fence_retires_once(self):
        report = self.run_reloading(self.make_work(), "--hold")
        configurations = report["module_loads"] // 2  # `cpu` gets its workers at each load
        self.assertEqual(report["retired_by_settlement"] + report["retired_by_last_op"],
                         report["fences_issued"] + configurations)


def refuse_io_uring():
    """For what this process executes, as many containers do: io_uring_setup() is EPERM."""
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
    # Load the number of the call; is it io_uring_setup, 425 everywhere? EPERM; else allow.
    steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = Program(len(steps), ctypes.cast(code, ctypes.c_void_p))
    libc = ctypes.CDLL(None)
    no_new_privileges, seccomp, filter_mode = 38, 22, 2
    if (libc.prctl(no_new_privileges, 1, 0, 0, 0) != 0
            or libc.prctl(seccomp, filter_mode, ctypes.byref(program)) != 0):
        raise OSError("no seccomp filter")


class Refused(Case):
    def test_io_uring_is_told_once(self):
        make_odd_tree(self)
        for number in range(200):
            self.write(f"tree/small/{number}", pattern(number * 50, number))
        finished = self.run_ufence("run", "--quiet", "--input", "tree", "--block", "512",
                                   "--reload-every", "1", preexec_fn=refuse_io_uring)
        self.assert_succeeded(finished)
        self.assertEqual(finished.stdout, expected_sums(self.folder, ["tree"]))
        self.assertEqual(finished.stderr.decode(), "ufence: driver: uring: io_uring is refused "
                                                   "(EPERM): reading with threads and pread()\n")


class Replace(Case):
    """The files of the modules change while they are in use."""

    def start(self, *options):
        self.drivers = self.folder / "drivers"
        shutil.copytree(DRIVERS, self.drivers, ignore=lambda _, names: set(names) - MODULES)
        self.write("tree/hole", b"")
        os.truncate(self.folder / "tree" / "hole", 1 << 40)
        running = self.start_ufence("run", "--input", "tree", "--output", "sums", "--driver-path",
                                    "drivers", "--quiet", "--reload-every", "5", *options)
        wait_until(lambda: cpu_seconds(running.pid) > 0.2, "work")
        return running

    def test_by_newer_builds(self):
        running = self.start("--json", "--hold")
        for number in range(20):
            used = cpu_seconds(running.pid)
            for name in MODULES:
                newer = self.drivers / f"{name}.{number}"
                shutil.copy(DRIVERS / name, newer)
                os.rename(newer, self.drivers / name)
            wait_until(lambda: cpu_seconds(running.pid) > used, "more work")
        self.assertIsNone(running.poll())
        running.send_signal(signal.SIGINT)
        out, problems = running.communicate(timeout=PATIENCE_S)
        self.assertEqual((running.returncode, problems), (130, b""))
        report = self.report(subprocess.CompletedProcess([], 130, out, problems))
        self.assertEqual(report["unloads_unmapped"], report["module_loads"])
        self.assertEqual(report["fences_held_at_exit"], report["fences_outliving_issuer"])

    def test_by_nothing_ends_the_run(self):
        for name in sorted(MODULES):
            with self.subTest(name=name):
                running = self.start()
                os.unlink(self.drivers / name)
                problems = running.communicate(timeout=PATIENCE_S)[1].decode()
                self.assertEqual(running.returncode, 1)
                self.assertRegex(problems, rf"^ufence: {name[:-3]}: drivers/{name}: .*No such file")
                self.assertEqual(problems.count("\n"), 1)
                self.assertFalse((self.folder / "sums").exists())
                shutil.rmtree(self.drivers)

    def test_by_something_else_ends_the_run(self):
        running = self.start()
        self.write("text", b"no module")
        os.rename(self.folder / "text", self.drivers / "cpu.so")
        problems = running.communicate(timeout=PATIENCE_S)[1].decode()
        self.assertEqual(running.returncode, 1)
        self.assertRegex(problems, r"^ufence: cpu: drivers/cpu.so: .+\n$")


class Watch(Case):
    """A module is reloaded when its file changes."""

    def setUp(self):
        super().setUp()
        self.drivers = self.folder / "drivers"
        shutil.copytree(DRIVERS, self.drivers, ignore=lambda _, names: set(names) - MODULES)
        self.write("tree/hole", b"")
        os.truncate(self.folder / "tree" / "hole", 1 << 40)
        self.running = self.start_ufence("run", "--input", "tree", "--output", "sums", "--driver-path",
                                         "drivers", "--json", "--watch")
        wait_until(lambda: cpu_seconds(self.running.pid) > 0.2, "work")

    def next_note(self):
        while DELAY.match(note := self.running.stderr.readline()):
            pass
        return note.decode()

    def replace(self, name, content):
        self.write("newer", content)
        os.rename(self.folder / "newer", self.drivers / name)

    def end(self):
        self.running.send_signal(signal.SIGINT)
        out, rest = self.running.communicate(timeout=PATIENCE_S)
        self.assertEqual((self.running.returncode, rest), (130, b"ufence: interrupted\n"))
        report = self.report(subprocess.CompletedProcess([], 130, out, rest))
        self.assertEqual(report["unloads_unmapped"], report["module_loads"])
        self.assertEqual(report["errors"], 0)
        return report

    def test_loads_builds_that_replace_the_file_or_are_written_to_it(self):
        for name in sorted(MODULES):
            self.replace(name, (DRIVERS / name).read_bytes())
            self.assertEqual(self.next_note(), f"ufence: {name[:-3]}: a new build is in use\n")
            used = cpu_seconds(self.running.pid)
            wait_until(lambda: cpu_seconds(self.running.pid) > used, "more work")
        shutil.copyfile(DRIVERS / "cpu.so", self.drivers / "cpu.so")
        self.assertEqual(self.next_note(), "ufence: cpu: a new build is in use\n")
        self.assertEqual(self.end()["module_loads"], 5)

    def test_goes_on_with_the_old_build_when_the_new_one_is_refused(self):
        self.replace("cpu.so", b"no module")
        self.assertRegex(self.next_note(), r"^ufence: drivers/cpu.so: .*; the build before goes on\n$")
        used = cpu_seconds(self.running.pid)
        wait_until(lambda: cpu_seconds(self.running.pid) > used, "more work")
        self.replace("cpu.so", (DRIVERS / "cpu.so").read_bytes())
        self.assertEqual(self.next_note(), "ufence: cpu: a new build is in use\n")
        self.assertEqual(self.end()["module_loads"], 3)


class Hold(Case):
    def test_keeps_every_fence_until_its_module_is_gone(self):
        make_odd_tree(self)
        finished = self.run_ufence("run", "--input", "tree", "--hold", "--json", "--quiet")
        self.assert_succeeded(finished)
        self.assertEqual(finished.stderr, b"")
        report = self.report(finished)
        self.assertEqual((report["module_loads"], report["module_unloads"]), (2, 2))
        self.assertEqual(report["unloads_unmapped"], 2)
        self.assertGreaterEqual(report["fences_issued"], 2 * report["files"])
        self.assertEqual(report["fences_held_at_exit"], report["fences_issued"])
        self.assertEqual(report["fences_outliving_issuer"], report["fences_issued"])
        self.assertEqual(report["resubmitted"], 0)

    def test_is_told_to_people(self):
        self.write("x", b"x")
        finished = self.run_ufence("run", "--input", "x", "--hold")
        self.assert_succeeded(finished)
        self.assertRegex(finished.stderr.decode(),
                         r"^1 files, 1 B in .*; 0 skipped, 0 errors\n"
                         r"2 fences, .* 2 held to the end, 2 outlived their module\n"
                         r"2 module loads, 2 unloads \(2 unmapped, 0 deferred, 0 pinned\)")


if __name__ == "__main__":
    unittest.main()
