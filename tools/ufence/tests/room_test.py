"""Descriptors on their way count for a user, all processes of his: run this by itself."""

import os
import resource
import signal
import socket
import subprocess
import time
import unittest

from support import PATIENCE_S, PROGRAM, cpu_seconds, wait_until, without_delays
from via_test import VIA, Via, children

LIMIT = 64


class Room(Via):
    def setUp(self):
        super().setUp()
        self.make_endless()
        self.mine, others = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.mine.close)
        self.addCleanup(others.close)
        self.others = others

    def take_all(self):
        for _ in range(LIMIT // 10):
            socket.send_fds(self.mine, [b"x"], [self.mine.fileno()] * 16)

    def give_back(self):
        self.mine.close()
        self.others.close()

    def start_limited(self):
        # There is a limit to those of one user, unless he has all rights.
        without_rights = []
        if os.geteuid() == 0:
            without_rights = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
        running = subprocess.Popen(
            [*without_rights, PROGRAM, "run", "--quiet", "--input", "tree", "--via", VIA],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT)))
        self.addCleanup(running.kill)
        return running

    def assert_works(self, running):
        wait_until(lambda: children(running.pid), "a reader")
        used = cpu_seconds(running.pid)
        wait_until(lambda: cpu_seconds(running.pid) > used + 0.2, "work")

    def assert_ends(self, running):
        running.send_signal(signal.SIGINT)
        problems = without_delays(running.communicate(timeout=PATIENCE_S)[1])
        self.assertEqual((running.returncode, problems), (130, b""))

    def test_for_descriptors_on_their_way_is_waited_for(self):
        running = self.start_limited()
        self.assert_works(running)
        reader = children(running.pid)[0]
        self.take_all()
        wait_until(lambda: not self.is_working(reader), "a pause")
        self.assertEqual(children(running.pid), [reader])
        self.give_back()
        used = cpu_seconds(reader)
        wait_until(lambda: cpu_seconds(reader) > used + 0.2, "more work")
        self.assert_ends(running)

    def test_for_the_first_descriptor_is_waited_for(self):
        self.take_all()
        running = self.start_limited()
        wait_until(lambda: children(running.pid), "a reader")
        reader = children(running.pid)[0]
        wait_until(lambda: not self.is_working(reader), "a pause")
        self.assertIsNone(running.poll())
        self.give_back()
        self.assert_works(running)
        self.assertEqual(children(running.pid), [reader])
        self.assert_ends(running)

    @staticmethod
    def is_working(pid):
        used = cpu_seconds(pid)
        time.sleep(0.3)
        return cpu_seconds(pid) > used + 0.1


if __name__ == "__main__":
    unittest.main()
