"""The blocks are read in a process of its own, which may end at any time; the sums stay the same."""

import os
import pathlib
import shutil
import signal
import subprocess
import unittest

from support import (PATIENCE_S, PROGRAM, Case, cpu_seconds, expected_sums, make_odd_tree, pattern,
                     until_met, wait_until)

VIA = os.environ["UFENCE_VIA"]


def children(pid):
    """The processes that a process has started, zombies too."""
    try:
        threads = list(pathlib.Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for thread in threads
                for child in (thread / "children").read_text().split()]
    except OSError:
        return []


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Via(Case):
    def make_work(self):
        make_odd_tree(self)
        for number in range(3):
            self.write(f"tree/large/{number}", pattern(65536, number) * 80)
        for number in range(200):
            self.write(f"tree/small/{number}", pattern(number * 50, number))
        return expected_sums(self.folder, ["tree"])

    def run_via(self, expected, *options):
        finished = self.run_ufence("run", "--input", "tree", "--output", "sums", "--json", "--quiet",
                                   "--via", VIA, *options)
        self.assertEqual(finished.stderr, b"")
        self.assert_succeeded(finished)
        self.assertEqual((self.folder / "sums").read_bytes(), expected)
        report = self.report(finished)
        self.assertEqual(report["files"], expected.count(b"\n"))
        self.assertEqual(report["readers_started"],
                         1 + report["readers_killed"] + report["readers_lost"])
        return report

    def make_endless(self):
        for name in ("a", "b", "c"):
            self.write(f"tree/{name}", b"")
            os.truncate(self.folder / "tree" / name, 1 << 40)

    def start_endless(self, *options, **more):
        self.make_endless()
        running = self.start_ufence("run", "--input", "tree", "--via", VIA, *options, **more)
        wait_until(lambda: cpu_seconds(running.pid) > 0.2 and children(running.pid), "work")
        return running

    def kill_reader(self, running, killed=()):
        """Kills a reader, unless the run ends before there is another; returns its number."""
        def others():
            return [reader for reader in children(running.pid) if reader not in killed]

        wait_until(lambda: others() or running.poll() is not None, "a reader")
        for reader in others():
            try:
                os.kill(reader, signal.SIGKILL)
                return reader
            except ProcessLookupError:
                pass
        return None

    def report_of(self, running, expected):
        out, problems = running.communicate(timeout=PATIENCE_S)
        self.assertEqual((running.returncode, problems), (0, b""))
        self.assertEqual((self.folder / "sums").read_bytes(), expected)
        return self.report(subprocess.CompletedProcess([], 0, out, problems))


class Sums(Via):
    def test_are_the_same(self):
        expected = self.make_work()
        for options in ([], ["--block", "1000"], ["--block", "4096", "--workers", "3"],
                        ["--block", "1M", "--hold"]):
            with self.subTest(options=options):
                report = self.run_via(expected, *options)
                self.assertEqual(report["readers_started"], 1)
                self.assertEqual(report["resubmitted"], 0)
                self.assertEqual((report["module_loads"], report["module_unloads"]), (1, 1))

    def test_of_what_is_odd_to_read(self):
        for size in (0, 1, 2, 63, 64, 65, 200):
            self.write(f"tree/{size}", pattern(size))
        os.symlink("tree/200", self.folder / "link")
        inputs = ["/proc/version", "/proc/filesystems", "/sys/kernel/notes", "link", "tree"]
        inputs = [path for path in inputs if not path.startswith("/") or os.path.exists(path)]
        self.assert_sums(inputs, "--via", VIA, "--block", "7")
        self.assert_sums(["tree"], "--via", VIA, "--block", "1")

    def test_of_many_files_with_few_descriptors(self):
        make_odd_tree(self)
        for number in range(200):
            self.write(f"tree/many/{number // 10}/{number}", pattern(number * 100, number))
        finished = self.run_in_folder(
            ["sh", "-c", "ulimit -n 64 && exec \"$@\"", "sh", PROGRAM, "run", "--quiet", "--input",
             "tree", "--via", VIA, "--block", "4096", "--kill-reader-every", "50"])
        self.assertEqual(finished.stderr, b"")
        self.assertEqual(finished.stdout, expected_sums(self.folder, ["tree"]))

    def test_fences_outlive_their_reader(self):
        expected = self.make_work()
        for options in ([], ["--kill-reader-every", "10"]):
            report = self.run_via(expected, "--hold", *options)
            self.assertEqual(report["fences_held_at_exit"], report["fences_issued"])
            self.assertEqual(report["fences_outliving_issuer"], report["fences_issued"])


class Kill(Via):
    def test_reads_what_was_cut_off_again(self):
        expected = self.make_work()
        killed = resubmitted = 0
        choices = (("20", []), ("40", ["--workers", "3"]), ("80", ["--block", "64k"]))
        for number in until_met(lambda: killed > 1 and resubmitted, at_least=len(choices)):
            every, options = choices[number % len(choices)]
            with self.subTest(every=every, options=options):
                report = self.run_via(expected, "--kill-reader-every", every, *options)
                self.assertEqual(report["readers_lost"], 0)
                killed += report["readers_killed"]
                resubmitted += report["resubmitted"]

    def test_while_modules_are_replaced(self):
        expected = self.make_work()
        for options in (["--policy", "drain"], ["--policy", "cancel", "--hold"],
                        ["--policy", "cancel", "--kill-reader-every", "300"],
                        ["--policy", "drain", "--kill-reader-every", "300", "--hold"]):
            with self.subTest(options=options):
                report = self.run_via(expected, "--reload-every", "5", "--block", "64k",
                                      *options)
                self.assertEqual(report["module_loads"], report["module_unloads"])
                self.assertEqual(report["unloads_unmapped"], report["module_unloads"])

    def test_by_others_at_any_time(self):
        expected = self.make_work()
        most_lost = 0
        for _ in until_met(lambda: most_lost > 3):
            running = self.start_ufence("run", "--input", "tree", "--output", "sums", "--json",
                                        "--quiet", "--via", VIA, "--block", "1000")
            killed = set()
            while running.poll() is None and len(killed) < 8:
                killed.add(self.kill_reader(running, killed))
            report = self.report_of(running, expected)
            self.assertEqual(report["readers_killed"], 0)
            self.assertEqual(report["readers_started"], report["readers_lost"] + 1)
            self.assertLessEqual(report["readers_lost"], len(killed))
            most_lost = max(most_lost, report["readers_lost"])

    def test_of_a_stopped_reader(self):
        running = self.start_endless("--quiet")
        reader = children(running.pid)[0]
        os.kill(reader, signal.SIGSTOP)
        os.kill(reader, signal.SIGKILL)
        used = cpu_seconds(running.pid)
        wait_until(lambda: reader not in children(running.pid), "another reader")
        wait_until(lambda: cpu_seconds(running.pid) > used + 0.1, "more work")
        running.send_signal(signal.SIGINT)
        self.assertEqual(running.wait(PATIENCE_S), 130)

    def test_is_told_to_people(self):
        self.write("x", b"x")
        finished = self.run_ufence("run", "--input", "x", "--via", VIA)
        self.assert_succeeded(finished)
        self.assertIn("1 reader processes, 0 of them killed, 0 lost",
                      finished.stderr.decode())
        finished = self.run_ufence("run", "--input", "x")
        self.assertNotIn("reader", finished.stderr.decode())

    def test_survives_the_removal_of_the_program(self):
        expected = self.make_work()
        copy = self.folder / "ufence"
        libraries = pathlib.Path(PROGRAM).parent.parent / "lib"
        lost = 0
        for _ in until_met(lambda: lost):
            shutil.copy(PROGRAM, copy)
            running = subprocess.Popen(
                [copy, "run", "--input", "tree", "--quiet", "--json", "--output", "sums", "--via",
                 VIA, "--block", "1000", "--driver-path", os.environ["UFENCE_DRIVERS"]],
                cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=dict(os.environ, LD_LIBRARY_PATH=str(libraries)))
            wait_until(lambda: children(running.pid) or running.poll() is not None, "a reader")
            copy.unlink()
            self.kill_reader(running)
            lost = self.report_of(running, expected)["readers_lost"]
            self.assertLessEqual(lost, 1)


class End(Via):
    def test_by_a_signal_leaves_no_reader(self):
        for options in ([], ["--kill-reader-every", "1"], ["--reload-every", "1", "--hold"]):
            with self.subTest(options=options):
                running = self.start_endless(*options)
                before = children(running.pid)
                running.send_signal(signal.SIGINT)
                out, problems = running.communicate(timeout=PATIENCE_S)
                self.assertEqual(running.returncode, 130, problems)
                self.assertEqual(out, b"")
                self.assertRegex(problems.decode(), r"^ufence: interrupted\n0 files, ")
                self.assertFalse(any(is_running(reader) for reader in before))

    def test_by_a_signal_to_all_of_them(self):
        # As a terminal sends it for Ctrl-C, and who stops a service.
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number=number):
                running = self.start_endless("--kill-reader-every", "5",
                                             start_new_session=True)
                os.killpg(running.pid, number)
                problems = running.communicate(timeout=PATIENCE_S)[1]
                self.assertEqual(running.returncode, 128 + number)
                self.assertRegex(problems.decode(), r"^ufence: interrupted\n0 files, ")
                with self.assertRaises(ProcessLookupError):
                    os.killpg(running.pid, 0)

    def test_by_a_signal_while_the_reader_is_stopped(self):
        running = self.start_endless("--quiet")
        reader = children(running.pid)[0]
        os.kill(reader, signal.SIGSTOP)
        running.send_signal(signal.SIGTERM)
        self.assertEqual(running.wait(PATIENCE_S), 128 + signal.SIGTERM)
        self.assertFalse(is_running(reader))

    def test_of_the_run_is_the_readers(self):
        running = self.start_endless("--quiet")
        reader = children(running.pid)[0]
        running.kill()
        running.communicate()
        wait_until(lambda: not is_running(reader), "the reader's end")


class Problems(Via):
    def test_are_told_as_without_a_reader(self):
        self.write("good", b"good")
        self.write("tree/also good", b"too")
        os.mkfifo(self.folder / "fifo")
        inputs = ["fifo", "good", "missing", "/dev/null", "tree", "/proc/self/mem"]
        finished = self.run_ufence("run", "--quiet", "--via", VIA, "--input", *inputs)
        self.assert_succeeded(finished, 1)
        self.assertEqual(finished.stdout, expected_sums(self.folder, ["good", "tree"]))
        self.assertEqual(sorted(finished.stderr.decode().splitlines()), [
            "ufence: /dev/null: Not a regular file or directory",
            "ufence: /proc/self/mem: Input/output error",
            "ufence: fifo: Not a regular file or directory",
            "ufence: missing: No such file or directory",
        ])

    def test_of_the_readers_module_end_the_run(self):
        self.write("x", b"x")
        shutil.copytree(os.environ["UFENCE_DRIVERS"], self.folder / "drivers")
        (self.folder / "drivers" / "uring.so").unlink()
        finished = self.run_ufence("run", "--quiet", "--input", "x", "--output", "sums", "--via",
                                   VIA, "--driver-path", "drivers")
        self.assert_succeeded(finished, 1)
        self.assertRegex(finished.stderr.decode(), r"^ufence: reader: drivers/uring.so: .+\n$")
        self.assertFalse((self.folder / "sums").exists())

    def test_of_usage_are_2(self):
        for args in (["--via", "nothing"], ["--via"], ["--kill-reader-every", "1"],
                     ["--via", VIA, "--kill-reader-every", "0"],
                     ["--via", VIA, "--kill-reader-every", "soon"]):
            with self.subTest(args=args):
                finished = self.run_ufence("run", *args)
                self.assertEqual(finished.returncode, 2)
                self.assertEqual(finished.stdout, b"")
                self.assertNotEqual(finished.stderr, b"")

    def test_of_a_reader_that_nobody_asked_for(self):
        finished = self.run_ufence("reader")
        self.assert_succeeded(finished, 2)
        self.assertIn(b"only `ufence run` can start it", finished.stderr)
        self.assertNotIn(b"reader", self.run_ufence("--help").stdout)


if __name__ == "__main__":
    unittest.main()
