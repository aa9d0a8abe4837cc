#!/usr/bin/env python3
"""Three hosts and a server, each in a network namespace of its own, with a cable from the server to each host:
cables that are cut and mended, packets that arrive in one direction alone, and whatever may be killed or stopped.

        host a --- 10.77.1.0/30 ---+
        host b --- 10.77.2.0/30 ---+ server
        host c --- 10.77.3.0/30 ---+

Only what has to see a lease end has a short one; nothing that must not see that does."""

import errno
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from server_support import has_server

HOST = os.environ["UFENCE_HOST_PROGRAM"]
INSIDE = "UFENCE_NAMESPACES_TEST_IS_INSIDE"
PATIENCE_S = 120
SHORT_LEASE, LONG_LEASE = "1500000000", "60000000000"
PORT = 4222  # nobody else is in the namespace
os.environ["PATH"] += ":/usr/sbin:/sbin"


def ip(*words: str, inside: int | None = None):
    where = [] if inside is None else ["nsenter", f"--net=/proc/{inside}/ns/net"]
    subprocess.run([*where, "ip", *words], check=True)


def why_not() -> str:
    """Why there can be no namespaces here, or nothing."""
    if not has_server():
        return "there is no nats-server here"
    try:
        done = subprocess.run(["unshare", "-Urn", "ip", "link", "add", "name", "x", "type", "veth", "peer", "name", "y"],
                              capture_output=True, text=True, check=False)
    except OSError as failed:
        return str(failed)
    return "" if done.returncode == 0 else f"no network namespaces: {done.stderr.strip()}"


class Place:
    """A namespace with a cable to this one."""

    def __init__(self, number: int):
        # It ends with its standard input, and the namespace with it.
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        self.pid, self.cable = self.holder.pid, f"to{number}"
        self.server, self.address = f"10.77.{number}.1", f"10.77.{number}.2"
        ip("link", "add", "name", self.cable, "type", "veth", "peer", "name", "cable", "netns", str(self.pid))
        ip("address", "add", f"{self.server}/30", "dev", self.cable)
        ip("link", "set", self.cable, "up")
        for words in (f"address add {self.address}/30 dev cable", "link set cable up"):
            ip(*words.split(), inside=self.pid)

    def close(self):
        self.holder.stdin.close()
        self.holder.stdout.close()
        self.holder.wait()

    # What a test does to it, and undoes.

    def plug(self, is_in: bool):
        ip("link", "set", self.cable, "up" if is_in else "down")

    def hears(self, does: bool):
        ip("route", "del" if does else "add", "blackhole", f"{self.address}/32")

    def is_heard(self, is_it: bool):
        ip("route", "del" if is_it else "add", "blackhole", f"{self.server}/32", inside=self.pid)


class Host:
    """A program there: exports a timeline, and imports another one."""

    def __init__(self, test: unittest.TestCase, place: Place, name: str, lease: str):
        until = time.monotonic() + PATIENCE_S
        while not self.is_ready(test, place, name, lease):  # on a busy machine it may not get there in time
            test.assertLess(time.monotonic(), until)

    def is_ready(self, test: unittest.TestCase, place: Place, name: str, lease: str) -> bool:
        self.process = subprocess.Popen(
            ["nsenter", f"--net=/proc/{place.pid}/ns/net", HOST, f"nats://{place.server}:{PORT}", "demo", name, lease],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for after in (self.process.wait, self.process.kill, self.process.stdout.close, self.process.stdin.close):
            test.addCleanup(after)
        return self.answer() == "ready"

    def send(self, line: str):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        return self.process.stdout.readline().strip()

    def ask(self, line: str) -> str:
        self.send(line)
        return self.answer()

    def kill(self):
        self.process.kill()
        self.process.wait()


OWNER_DEAD, NO_LINK = str(errno.EOWNERDEAD), str(errno.ENOLINK)


class Namespaces(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.places = [Place(number) for number in (1, 2, 3)]
        for place in cls.places:
            cls.addClassCleanup(place.close)
        cls.serve()
        cls.addClassCleanup(lambda: cls.end_server())

    @classmethod
    def serve(cls):
        cls.server = subprocess.Popen(["nats-server", "-js", "-sd", cls.folder.name, "-a", "0.0.0.0", "-p", str(PORT)],
                                      stderr=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return socket.create_connection((cls.places[0].server, PORT)).close()
            except OSError:
                assert time.monotonic() < until, "the server does not listen"
                time.sleep(0.02)

    @classmethod
    def end_server(cls):
        cls.server.kill()
        cls.server.wait()

    def hosts(self, lease: str) -> list[Host]:
        """The first one's timeline has the test's name, and the others import it."""
        self.line = self.id().rsplit(".", maxsplit=1)[-1]
        owner, *others = [Host(self, place, f"{self.line}{number or ''}", lease)
                          for number, place in enumerate(self.places)]
        for one in others:
            self.assertEqual(one.ask(f"import {self.line}"), "found")
        return [owner, *others]

    def assert_works(self):
        """After all that happened hosts that are new have a timeline in common."""
        self.line = "works"
        owner, *others = self.hosts(LONG_LEASE)
        owner.ask("signal 3")
        for one in others:
            self.assertEqual(one.ask("reach 3"), "0")

    def test_a_cut_that_is_longer_than_the_lease(self):
        owner, near, far = self.hosts(SHORT_LEASE)
        for one in (near, far):
            one.send("reach 2")
        self.places[0].plug(False)
        owner.ask("signal 2")
        self.assertEqual([one.answer() for one in (near, far)], [OWNER_DEAD] * 2)
        self.assertEqual(owner.ask("ended"), NO_LINK)
        self.places[0].plug(True)
        for one in (near, far):
            self.assertEqual(one.ask("status 2"), f"-{OWNER_DEAD}")  # ended is ended
        self.assert_works()

    def test_a_cut_that_is_shorter_than_the_lease(self):
        owner, near, far = self.hosts(LONG_LEASE)
        for place in self.places[:2]:  # the owner, and one of the importers
            place.plug(False)
        owner.ask("signal 2")
        for one in (near, far):
            one.send("reach 2")
        for place in self.places[:2]:
            place.plug(True)
        self.assertEqual([one.answer() for one in (near, far)], ["0"] * 2)
        self.assertEqual(owner.ask("flush"), "0")

    def test_an_owner_that_only_hears(self):
        owner, near, far = self.hosts(SHORT_LEASE)
        for one in (near, far):
            one.send("reach 1")
        self.places[0].is_heard(False)
        self.assertEqual([one.answer() for one in (near, far)], [OWNER_DEAD] * 2)
        self.assertEqual(owner.ask("ended"), NO_LINK)
        self.places[0].is_heard(True)
        owner.ask("signal 1")
        self.assertEqual([one.ask("status 1") for one in (near, far)], [f"-{OWNER_DEAD}"] * 2)
        self.assert_works()

    def test_an_owner_and_an_importer_that_only_speak(self):
        owner, near, far = self.hosts(SHORT_LEASE)
        for one in (near, far):
            one.send("reach 1")
        for place in self.places[:2]:
            place.hears(False)
        self.assertEqual([one.answer() for one in (near, far)], [OWNER_DEAD] * 2)
        self.assertEqual(owner.ask("ended"), NO_LINK)
        for place in self.places[:2]:
            place.hears(True)
        self.assert_works()

    def test_an_importer_that_is_killed_and_then_the_owner(self):
        owner, near, far = self.hosts(SHORT_LEASE)
        near.kill()
        far.send("reach 1")
        owner.kill()
        self.assertEqual(far.answer(), OWNER_DEAD)
        again = Host(self, self.places[0], self.line, LONG_LEASE)
        again.ask("signal 1")
        self.assertEqual(far.ask("status 1"), f"-{OWNER_DEAD}")
        self.assertEqual(far.ask(f"import {self.line}"), "found")
        self.assertEqual(far.ask("reach 1"), "0")

    def test_a_server_that_is_killed(self):
        owner, near, far = self.hosts(LONG_LEASE)
        self.end_server()
        owner.ask("signal 4")
        for one in (near, far):
            one.send("reach 4")
        self.serve()
        self.assertEqual([one.answer() for one in (near, far)], ["0"] * 2)
        self.assertEqual(owner.ask("flush"), "0")

    def test_an_owner_that_is_stopped_for_longer_than_the_lease(self):
        owner, near, far = self.hosts(SHORT_LEASE)
        for one in (near, far):
            one.send("reach 1")
        owner.process.send_signal(signal.SIGSTOP)
        self.assertEqual([one.answer() for one in (near, far)], [OWNER_DEAD] * 2)
        owner.send("signal 1")
        owner.process.send_signal(signal.SIGCONT)
        self.assertEqual(owner.answer(), "done")
        self.assertEqual(owner.ask("ended"), NO_LINK)
        self.assertEqual([one.ask("status 1") for one in (near, far)], [f"-{OWNER_DEAD}"] * 2)


if __name__ == "__main__":
    if INSIDE not in os.environ:
        if reason := why_not():
            print(f"skipped: {reason}")
            sys.exit(77)
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-Urn", sys.executable, "-B", str(pathlib.Path(__file__).resolve())])
    ip("link", "set", "lo", "up")
    unittest.main(argv=sys.argv[:1])
