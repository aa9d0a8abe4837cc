"""What the tests of the command share: running it, odd trees, and sha256sum's answer."""

import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import termios
import time
import unittest

PROGRAM = os.environ["UFENCE_PROGRAM"]

JSON_NAMES = [
    "files", "bytes", "seconds", "skipped", "errors", "resubmitted", "fences_issued",
    "fences_awaited", "fences_held_at_exit", "fences_outliving_issuer", "retired_by_settlement",
    "retired_by_last_op", "module_loads", "module_unloads", "unloads_unmapped",
    "unloads_deferred", "unloads_pinned", "unload_us_p50", "unload_us_p99", "readers_started",
    "readers_killed", "readers_lost", "timeouts", "resets", "clients",
]

# For what must happen and may be slow, under sanitizers on a loaded machine.
PATIENCE_S = 120


# A call into a module takes that long on a busy machine as well, and is told.
DELAY = re.compile(rb"(?m)^ufence: .* has not (?:ended|returned) for \d+ s\b.*\n")


def without_delays(told):
    return DELAY.sub(b"", told)


class _Started(subprocess.Popen):
    def communicate(self, *args, **more):
        """Without what is told of delays."""
        out, told = super().communicate(*args, **more)
        return out, told and without_delays(told)


class Case(unittest.TestCase):
    """Each test has a folder of its own, which is the working directory of what it runs."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ufence-test-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def run_ufence(self, *args, **more):
        return self.run_in_folder([PROGRAM, *args], stdin=subprocess.DEVNULL, **more)

    def run_in_folder(self, command, **more):
        """Its stderr is without what is told of delays."""
        more.setdefault("stdout", subprocess.PIPE)
        finished = subprocess.run(command, cwd=self.folder, stderr=subprocess.PIPE, check=False,
                                  timeout=PATIENCE_S, **more)
        finished.stderr = without_delays(finished.stderr)
        return finished

    def start_ufence(self, *args, **more):
        more.setdefault("stdout", subprocess.PIPE)
        more.setdefault("stderr", subprocess.PIPE)
        started = _Started([PROGRAM, *args], cwd=self.folder, stdin=subprocess.DEVNULL, **more)
        self.addCleanup(_end, started)
        return started

    def report(self, finished):
        """The one JSON object on its stdout, checked for its names."""
        report = json.loads(finished.stdout)
        self.assertEqual(list(report), JSON_NAMES)
        return report

    def assert_succeeded(self, finished, status=0):
        self.assertEqual(finished.returncode, status, finished.stderr.decode(errors="replace"))

    def assert_sums(self, inputs, *options):
        """`ufence run` prints what sha256sum prints; returns what it wrote to stderr."""
        finished = self.run_ufence("run", "--quiet", "--input", *inputs, *options)
        self.assertEqual(finished.stderr, b"")
        self.assert_succeeded(finished)
        self.assertEqual(finished.stdout.split(b"\n"), expected_sums(self.folder, inputs).split(b"\n"))

    def write(self, name, content):
        path = os.path.join(os.fsencode(self.folder), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


def _end(process):
    if process.poll() is None:
        process.kill()
        process.communicate()


def expected_sums(folder, inputs):
    """sha256sum's lines for what find prints, sorted by path."""
    found = subprocess.run(["find", "-H", *inputs, "-type", "f", "-print0"], cwd=folder, check=True,
                           stdout=subprocess.PIPE).stdout
    paths = sorted(found.split(b"\0")[:-1])
    lines = b""
    for at in range(0, len(paths), 500):
        lines += subprocess.run(["sha256sum", "--", *paths[at:at + 500]], cwd=folder, check=True,
                                stdout=subprocess.PIPE).stdout
    return lines


def pattern(size, seed=0):
    """Bytes that repeat nowhere, cheaply."""
    made = bytearray()
    while len(made) < size:
        made += hashlib.sha512(b"%d:%d" % (seed, len(made))).digest()
    return bytes(made[:size])


def make_odd_tree(case, block=4096):
    """Names and sizes that are easy to get wrong, below `tree`; returns how many are no files."""
    odd_names = [
        b"plain", b" leading space", b"trailing space ", b"-leading-dash", b"--output", b".hidden",
        b"new\nline", b"\n", b"back\\slash", b"\\n", b"car\rriage", b"tab\there", b"quote'\"`$x",
        b"\xff\xfe not utf-8 \x80", "äöü €".encode(), b"a", b"a.txt", b"a-", b"a0", b"*", b"~",
        b"\x01\x7f", b"n" * 255,
    ]
    for number, name in enumerate(odd_names):
        case.write(b"tree/" + name, pattern(number * 37, number))
        case.write(b"tree/dir " + name[:200] + b"/" + name, pattern(number * 1001, number))
    for size in (0, 1, block - 1, block, block + 1, 2 * block, 3 * block - 1, 3 * block, 10 * block + 5):
        case.write(f"tree/sizes/{size}", pattern(size, size))
    case.write("tree/" + "d/" * 150 + "deep", b"deep")
    os.makedirs(case.folder / "tree" / "empty dir")
    os.symlink("plain", case.folder / "tree" / "link")
    os.symlink("nothing", case.folder / "tree" / "dangling")
    os.symlink("..", case.folder / "tree" / "up")
    os.mkfifo(case.folder / "tree" / "fifo")
    bound = socket.socket(socket.AF_UNIX)
    # The name of a socket is limited to 108 bytes: bind it by a short one.
    here = os.getcwd()
    os.chdir(case.folder)
    bound.bind("tree/socket")
    os.chdir(here)
    bound.close()
    return 5


def until_met(has_met, at_least=1, most=100):
    """Numbers runs, until one has met what is left to chance: a reload in the middle, say."""
    number = 0
    while number < at_least or not has_met():
        if number == most:
            raise AssertionError(f"not met in {most} runs")
        yield number
        number += 1


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {PATIENCE_S} s")
        time.sleep(0.005)


def cpu_seconds(pid):
    """What a process has used so far; 0 once it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_full(pipe):
    """Then whoever writes to it is blocked, since the command writes more than that at a time."""
    unread = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, struct.pack("i", 0)))[0]
    return unread == fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
