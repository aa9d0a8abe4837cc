#!/usr/bin/env python3
"""What ufence-net does, from outside: with a server that it runs itself."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from server_support import free_port, has_server

PROGRAM, HOST, CONF = (os.environ[name] for name in ("UFENCE_NET_PROGRAM", "UFENCE_HOST_PROGRAM", "UFENCE_NATS_CONF"))
PATIENCE_S = 200


def status(port: int, *more: str) -> subprocess.CompletedProcess:
    return subprocess.run([PROGRAM, "status", "--server", f"nats://127.0.0.1:{port}", *more],
                          capture_output=True, text=True, timeout=PATIENCE_S)


class Served:
    """A server that `ufence net serve` runs."""

    def __init__(self, *more: str):
        self.folder = tempfile.TemporaryDirectory()
        self.port = free_port()
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--port", str(self.port), "--folder", self.folder.name, *more],
            stderr=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert time.monotonic() < until, "the server does not listen"
                time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)
        self.folder.cleanup()


@unittest.skipUnless(has_server(), "there is no nats-server here")
class Net(unittest.TestCase):
    def host(self, url: str, name: str) -> subprocess.Popen:
        one = subprocess.Popen([HOST, url, "demo", name, "3000000000"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
        self.addCleanup(one.wait)
        self.addCleanup(one.kill)
        self.addCleanup(one.stdout.close)
        self.addCleanup(one.stdin.close)
        return one

    def tell(self, one: subprocess.Popen, line: str) -> str:
        one.stdin.write(line + "\n")
        one.stdin.flush()
        return one.stdout.readline().strip()

    def test_status_shows_owners_and_values(self):
        with Served() as server:
            url = f"nats://127.0.0.1:{server.port}"
            alive, gone = self.host(url, "alive"), self.host(url, "gone")
            for one in (alive, gone):
                self.assertEqual(one.stdout.readline(), "ready\n")
            self.tell(alive, "signal 7")
            self.assertEqual(self.tell(alive, "flush"), "0")
            gone.kill()
            gone.wait()
            done = status(server.port, "--namespace", "demo", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            found = {one["name"]: one for one in json.loads(done.stdout)["timelines"]}
            self.assertEqual(set(found), {"alive", "gone"})
            self.assertEqual((found["alive"]["value"], found["alive"]["alive"]), (7, True))
            self.assertIs(found["gone"]["alive"], False)
            short = json.loads(status(server.port, "--namespace", "demo", "--json", "--listen", "0").stdout)
            self.assertNotIn(False, [one["alive"] for one in short["timelines"]], "it has not listened for long")
            self.assertEqual(found["alive"]["point"], self.tell(alive, "at 7"))
            self.assertEqual(found["alive"]["host"], "other")
            table = status(server.port, "--namespace", "demo").stdout
            self.assertRegex(table, r"alive +other +\d+ +7 ")

    def test_status_tells_by_how_much_it_is_behind_an_owner_that_signals(self):
        with Served() as server:
            url = f"nats://127.0.0.1:{server.port}"
            busy, idle = self.host(url, "busy"), self.host(url, "idle")
            for one in (busy, idle):
                self.assertEqual(one.stdout.readline(), "ready\n")
            looks = subprocess.Popen([PROGRAM, "status", "--server", url, "--namespace", "demo", "--json",
                                      "--listen", "4"], stdout=subprocess.PIPE, text=True)
            self.addCleanup(looks.stdout.close)
            value = 0
            while looks.poll() is None:
                value += 1
                self.assertEqual(self.tell(busy, f"signal {value}"), "done")
                time.sleep(0.001)
            found = {one["name"]: one for one in json.loads(looks.stdout.read())["timelines"]}
            self.assertGreater(found["busy"]["value"], 0)
            self.assertGreater(found["busy"]["lag_s"], 0)
            self.assertLess(found["busy"]["lag_s"], PATIENCE_S)
            self.assertIsNone(found["idle"]["lag_s"], "nothing was to come")

    def test_status_of_an_empty_namespace_and_of_no_server(self):
        with Served() as server:
            done = status(server.port, "--namespace", "nobody", "--json", "--listen", "0")
            self.assertEqual(json.loads(done.stdout)["timelines"], [], done.stderr)
            port = server.port
        done = status(port)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Connection refused", done.stderr)

    def test_the_shipped_configuration_lets_waiters_only_wait(self):
        with Served("--config", CONF) as server:
            def url(who: str) -> str:
                return f"nats://{who}@127.0.0.1:{server.port}"

            issuer = self.host(url("issuer:change-me"), "ruled")
            self.assertEqual(issuer.stdout.readline(), "ready\n")
            self.tell(issuer, "signal 3")
            self.assertEqual(self.tell(issuer, "flush"), "0")
            # A waiter sees it, and can not export, nor replace the owner.
            done = status(server.port, "--namespace", "demo", "--json", "--user", "waiter",
                          "--password", "change-me-too")
            self.assertEqual([one["value"] for one in json.loads(done.stdout)["timelines"]], [3], done.stderr)
            waiter = self.host(url("waiter:change-me-too"), "ruled")
            self.assertIn("Permission denied", waiter.stdout.readline())
            self.tell(issuer, "signal 4")
            self.assertEqual(self.tell(issuer, "flush"), "0")
            # Nobody gets in without a password.
            self.assertIn("Permission denied", self.host(url("issuer:wrong"), "ruled").stdout.readline())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
