"""What cannot be hashed is told, counted, and does not stop the rest."""

import fcntl
import itertools
import os
import re
import subprocess
import unittest

from support import PATIENCE_S, PROGRAM, Case, expected_sums, is_full, make_odd_tree, pattern, wait_until


class Problems(Case):
    def test_what_is_no_file_inside_a_tree_is_skipped_and_counted(self):
        others = make_odd_tree(self)
        finished = self.run_ufence("run", "--input", "tree", "--json", "--quiet")
        self.assert_succeeded(finished)
        self.assertEqual(finished.stderr, b"")
        report = self.report(finished)
        self.assertEqual(report["skipped"], others)
        self.assertEqual(report["errors"], 0)
        self.assertEqual(report["files"], expected_sums(self.folder, ["tree"]).count(b"\n"))

    def test_of_arguments_are_one_line_each(self):
        self.write("good", b"good")
        self.write("tree/also good", b"too")
        os.mkfifo(self.folder / "fifo")
        os.symlink("nothing", self.folder / "dangling")
        finished = self.run_ufence("run", "--quiet", "--input", "fifo", "good", "dangling", "missing",
                                   "/dev/null", "tree", "new\nline", "/proc/self/mem")
        self.assert_succeeded(finished, 1)
        self.assertEqual(finished.stdout, expected_sums(self.folder, ["good", "tree"]))
        self.assertEqual(sorted(finished.stderr.decode().splitlines()), [
            "ufence: /dev/null: Not a regular file or directory",
            "ufence: /proc/self/mem: Input/output error",
            "ufence: dangling: No such file or directory",
            "ufence: fifo: Not a regular file or directory",
            "ufence: missing: No such file or directory",
            "ufence: new\\nline: No such file or directory",
        ])

    def test_are_counted(self):
        self.write("good", b"good")
        finished = self.run_ufence("run", "--json", "--input", "good", "missing", "/dev/zero")
        self.assert_succeeded(finished, 1)
        report = self.report(finished)
        self.assertEqual((report["files"], report["bytes"], report["errors"]), (1, 4, 2))

    def test_of_reading_leave_no_sum(self):
        # It can be opened, but not read at its begin.
        finished = self.run_ufence("run", "--quiet", "--input", "/proc/self/mem", "--block", "512")
        self.assert_succeeded(finished, 1)
        self.assertEqual(finished.stdout, b"")

    def test_files_that_vanish_are_told_and_the_rest_is_right(self):
        # Its stdout is a pipe that nobody reads from: it stops when the pipe is full, having listed
        # all files and hashed some. The others vanish meanwhile.
        names = [f"{number:04}" + "x" * 240 for number in range(2000)]
        for name in names:
            self.write(f"tree/{name}", name.encode())
        expected = set(expected_sums(self.folder, ["tree"]).splitlines())
        read_end, write_end = os.pipe()
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
        with open(self.folder / "problems", "wb") as problems:
            running = self.start_ufence("run", "--quiet", "--input", "tree", stdout=write_end,
                                        stderr=problems)
        os.close(write_end)
        with open(read_end, "rb") as pipe:
            wait_until(lambda: is_full(read_end), "a full pipe")
            for name in names[1000:]:
                os.unlink(self.folder / "tree" / name)
            lines = pipe.read().splitlines()
        self.assertEqual(running.wait(PATIENCE_S), 1)
        problems = (self.folder / "problems").read_text().splitlines()
        self.assertLessEqual(set(lines), expected)
        self.assertEqual(lines[:1000], sorted(expected, key=lambda line: line.split()[1])[:1000])
        self.assertEqual(len(lines) + len(problems), len(names))
        self.assertGreater(len(problems), 100)
        for problem in problems:
            self.assertRegex(problem, r"^ufence: tree/\d{4}x+: No such file or directory$")


class Output(Case):
    def test_replaces_a_file_when_it_is_complete(self):
        self.write("tree/x", b"x")
        self.write("sums", b"old")
        os.chmod(self.folder / "sums", 0o640)
        finished = self.run_ufence("run", "--quiet", "--input", "tree", "--output", "sums")
        self.assert_succeeded(finished)
        self.assertEqual(finished.stdout, b"")
        self.assertEqual((self.folder / "sums").read_bytes(), expected_sums(self.folder, ["tree"]))
        self.assertEqual(os.stat(self.folder / "sums").st_mode & 0o777, 0o640)
        self.assertEqual(sorted(os.listdir(self.folder)), ["sums", "tree"])

    def test_may_lie_in_the_tree(self):
        self.write("x", b"x")
        self.write("sums", b"old")
        expected = expected_sums(self.folder, ["."])
        self.assert_succeeded(self.run_ufence("run", "--input", ".", "--output", "sums"))
        self.assertEqual((self.folder / "sums").read_bytes(), expected)

    def test_has_the_sums_of_what_could_be_hashed(self):
        self.write("x", b"x")
        finished = self.run_ufence("run", "--input", "x", "missing", "--output", "sums")
        self.assert_succeeded(finished, 1)
        self.assertEqual((self.folder / "sums").read_bytes(), expected_sums(self.folder, ["x"]))

    def test_that_cannot_be_opened_is_told(self):
        self.write("x", b"x")
        for path, why in (("no/sums", "No such file or directory"), (".", "Is a directory")):
            finished = self.run_ufence("run", "--quiet", "--input", "x", "--output", path)
            self.assert_succeeded(finished, 1)
            self.assertEqual(finished.stderr.decode(), f"ufence: {path}: {why}\n")

    def test_to_a_link_replaces_what_it_leads_to(self):
        self.write("x", b"x")
        self.write("sums", b"old")
        os.symlink("sums", self.folder / "link")
        self.assert_succeeded(self.run_ufence("run", "--input", "x", "--output", "link"))
        self.assertEqual(os.readlink(self.folder / "link"), "sums")
        self.assertEqual((self.folder / "sums").read_bytes(), expected_sums(self.folder, ["x"]))
        os.symlink("nothing", self.folder / "dangling")
        finished = self.run_ufence("run", "--quiet", "--input", "x", "--output", "dangling")
        self.assert_succeeded(finished, 1)
        self.assertEqual(finished.stderr.decode(), "ufence: dangling: No such file or directory\n")
        self.assertEqual(os.readlink(self.folder / "dangling"), "nothing")

    def test_that_cannot_be_written_is_told(self):
        self.write("x", b"x")
        finished = self.run_ufence("run", "--quiet", "--input", "x", "--output", "/dev/full")
        self.assert_succeeded(finished, 1)
        self.assertEqual(finished.stderr.decode(), "ufence: /dev/full: No space left on device\n")
        with open("/dev/full", "wb") as full:
            for args in (["--input", "x"], ["--input", "x", "--json"]):
                finished = self.run_ufence("run", "--quiet", *args, stdout=full)
                self.assert_succeeded(finished, 1)
                self.assertEqual(finished.stderr.decode(),
                                 "ufence: standard output: No space left on device\n")

    def test_to_a_closed_pipe_ends_the_run(self):
        for number in range(3000):
            self.write(f"tree/{number}" + "x" * 200, pattern(100, number))
        running = self.start_ufence("run", "--quiet", "--input", "tree")
        running.stdout.close()
        running.stdout = None
        problems = running.communicate(timeout=PATIENCE_S)[1].decode()
        self.assertEqual(running.returncode, 1)
        self.assertEqual(problems, "ufence: standard output: Broken pipe\n")

    def test_does_not_get_what_is_said_on_a_closed_stream(self):
        self.write("x", b"x")
        expected = expected_sums(self.folder, ["x"])
        for closed in itertools.chain.from_iterable(
                itertools.combinations((0, 1, 2), count) for count in (1, 2, 3)):
            with self.subTest(closed=closed):
                streams = " ".join(f"{stream}>&-" for stream in closed)
                finished = self.run_ufence_in_shell(
                    f"run --input x missing --output sums {streams}")
                self.assert_succeeded(finished, 1)
                self.assertEqual((self.folder / "sums").read_bytes(), expected)
                self.assertEqual(finished.stdout, b"")
        finished = self.run_ufence_in_shell("run --quiet --input x >&-")
        self.assert_succeeded(finished, 1)
        self.assertEqual(finished.stderr.decode(),
                         "ufence: standard output: Bad file descriptor\n")

    def run_ufence_in_shell(self, rest):
        return self.run_in_folder(["sh", "-c", f'exec "$0" {rest}', PROGRAM])


class Program(Case):
    def test_takes_no_library_from_the_working_directory(self):
        dynamic = subprocess.run(["readelf", "-dW", PROGRAM], check=True, capture_output=True,
                                 text=True).stdout
        libraries = re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic)
        self.assertIn("libfmt", " ".join(libraries))
        for library in libraries:
            self.write(library, b"no library")
        environment = {name: value for name, value in os.environ.items()
                       if name != "LD_LIBRARY_PATH"}
        self.assert_succeeded(self.run_ufence("--version", env=environment))


class Usage(Case):
    def test_errors_are_2(self):
        for args in ([], ["nonsense"], ["run", "--nonsense"], ["run", "stray"], ["modules"],
                     ["run", "--workers", "0"], ["run", "--workers", "x"], ["run", "--block", "0"],
                     ["run", "--block", "-1"], ["run", "--block", "2G"], ["run", "--reload-every", "0"],
                     ["run", "--reload-every", "soon"], ["run", "--policy", "refuse"],
                     ["run", "--policy", ""], ["run", "--policy", "1"], ["run", "--via", "pipe"],
                     ["run", "--output", ""], ["run", "--input"], ["run", "--driver-path"], ["sum"],
                     ["uapi"], ["why"], ["top", "me", "--interval", "0"]):
            with self.subTest(args=args):
                finished = self.run_ufence(*args)
                self.assertEqual(finished.returncode, 2)
                self.assertEqual(finished.stdout, b"")
                self.assertRegex(finished.stderr.decode(), r"\Aufence: [^\n]+\n\Z")

    def test_name_the_word_that_is_no_command(self):
        finished = self.run_ufence("nonsense", "--quiet")
        self.assertEqual(finished.stderr.decode(),
                         'ufence: there is no command "nonsense"; `ufence --help` lists them\n')

    def test_name_the_command_whose_help_tells_more(self):
        finished = self.run_ufence("run", "--workers", "0")
        self.assertRegex(finished.stderr.decode(),
                         r"^ufence: --workers: .*; see `ufence run --help`\n$")

    def test_help_fits_80_columns(self):
        commands = [[]] + [[name] for name in ("run", "sum", "modules", "uapi", "ls", "why", "top")]
        if os.environ.get("UFENCE_HAS_LAB") == "1":
            commands += [["lab"], ["lab", "check"]]
        for command in commands:
            with self.subTest(command=command):
                finished = self.run_ufence(*command, "--help")
                self.assert_succeeded(finished)
                self.assertLessEqual(max(map(len, finished.stdout.decode().splitlines())), 80)

    def test_help_and_version_are_0(self):
        for args in (["--help"], ["run", "--help"], ["modules", "--help"]):
            finished = self.run_ufence(*args)
            self.assert_succeeded(finished)
            self.assertIn(b"ufence", finished.stdout)
        finished = self.run_ufence("--version")
        self.assert_succeeded(finished)
        self.assertRegex(finished.stdout.decode(), r"^ufence \d+\.\d+\.\d+\n$")

    def test_missing_modules_are_told(self):
        self.write("x", b"x")
        os.mkdir(self.folder / "drivers")
        for args, environment in ((["--driver-path", "drivers"], {}),
                                  ([], {"UFENCE_DRIVER_PATH": "drivers"})):
            finished = self.run_ufence("run", "--quiet", "--input", "x", "--output", "sums", *args,
                                       env=dict(os.environ, **environment))
            self.assert_succeeded(finished, 1)
            self.assertRegex(finished.stderr.decode(), "^ufence: drivers/uring.so: [^:]*\n$")
            self.assertFalse((self.folder / "sums").exists())


if __name__ == "__main__":
    unittest.main()
