"""`ufence ls` and `ufence why` over programs that hang in known ways."""

import json
import os
import pathlib
import signal
import socket
import stat
import subprocess
import unittest

import support

HANG = os.environ["UFENCE_HANG_PROGRAM"]


class Look(support.Case):
    def hang(self, how, **more):
        """Starts the program and returns its process once it hangs in that way."""
        runtime = self.folder / "run"
        runtime.mkdir(mode=0o700, exist_ok=True)
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=str(runtime), UFENCE_DEBUG="1")
        self.environment.pop("UFENCE_WATCHDOG", None)
        self.environment.update(more)
        started = subprocess.Popen([HANG, how], cwd=self.folder, env=self.environment,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(self.end, started)
        self.assertEqual(started.stdout.readline(), b"ready\n")
        return started

    @staticmethod
    def end(started):
        started.kill()
        started.communicate()

    def ufence(self, *args, status=0):
        finished = self.run_ufence(*args, env=self.environment)
        self.assert_succeeded(finished, status)
        return finished.stdout.decode()

    def why(self, started, cause=None):
        """The snapshot, once somebody in it has that cause, and the text about it."""
        pid = str(started.pid)
        while True:
            seen = json.loads(self.ufence("why", pid, "--json"))
            if cause is None or any(n["cause"] == cause for n in seen["nodes"]):
                return seen, self.ufence("why", pid)

    def node(self, seen, cause):
        """The one node with this cause."""
        found = [n for n in seen["nodes"] if n["cause"] == cause]
        self.assertEqual(len(found), 1, json.dumps(seen["nodes"], indent=1))
        return found[0]

    def thread(self, seen):
        found = [n for n in seen["nodes"] if n["kind"] == "thread"]
        self.assertEqual(len(found), 1)
        return found[0]

    def test_names_a_timeline_that_nobody_signals(self):
        started = self.hang("never_signaled")
        seen, text = self.why(started)
        culprit = self.node(seen, "never_signaled")
        self.assertEqual((culprit["driver"], culprit["timeline"]), ("test device", "queue"))
        self.assertEqual(culprit["type"], "timeline fence")
        self.assertEqual(culprit["place"]["module"], os.path.realpath(HANG))
        self.assertEqual(culprit["place"]["build_id"], build_id(HANG))
        thread = self.thread(seen)
        self.assertEqual(pathlib.Path(f"/proc/{started.pid}/task/{thread['id']}").exists(), True)
        self.assertEqual(thread["place"]["module"], os.path.realpath(HANG))
        self.assertIn("wait_for_the_device", function_at(HANG, thread["place"]["offset"]))
        self.assertRegex(text, r'(?m)^  \d+:1 timeline fence "queue" of "test device", pending.*'
                               r"nobody has signaled it")
        self.assertRegex(text, r"(?m)^    <- thread %d " % thread["id"])
        # From the waiter down it is the same, the other way round.
        down = self.ufence("why", str(started.pid), "--down")
        self.assertRegex(down, r"(?m)^  thread %d .*\n    -> \d+:1 timeline fence" % thread["id"])
        # And the same of the fence alone.
        name = f"{culprit['context']}:{culprit['seqno']}"
        self.assertIn(f"<- thread {thread['id']}", self.ufence("why", str(started.pid), name))

    def test_names_a_device_that_was_not_heard(self):
        seen, text = self.why(self.hang("lost_notification"))
        culprit = self.node(seen, "lost_notification")
        self.assertIn("the device has written 1", culprit["note"])
        self.assertEqual(seen["timelines"][0]["device_seqno"], 1)
        self.assertEqual(seen["timelines"][0]["completed"], 0)
        self.assertIn("nobody has called notify()", text)

    def test_names_a_circle_through_two_arrays(self):
        seen, text = self.why(self.hang("circle"))
        self.assertEqual(len(seen["circles"]), 1)
        circle = [seen["nodes"][n] for n in seen["circles"][0]]
        self.assertEqual(sorted(n["type"] for n in circle),
                         ["array (all of 2)", "array (all of 2)", "plain fence", "plain fence"])
        self.assertTrue(all(n["cause"] == "circle" for n in circle))
        # Which fence a callback signals is a guess, and is told as one.
        self.assertIn("perhaps a circle: ", text)

    def test_names_an_exporter_that_is_stopped(self):
        started = self.hang("exporter_stopped")
        seen, text = self.why(started)
        culprit = self.node(seen, "exporter_stopped")
        self.assertEqual(culprit["kind"], "process")
        parent = pathlib.Path(f"/proc/{culprit['id']}/stat").read_text().rsplit(")")[1].split()[1]
        self.assertEqual(int(parent), started.pid)
        self.assertIn("the process that has to signal it is stopped", text)
        os.kill(culprit["id"], signal.SIGCONT)
        seen, _ = self.why(started, "exporter_runs")
        self.assertEqual(self.node(seen, "exporter_runs")["id"], culprit["id"])

    def test_names_a_callback_that_waits_for_its_own_thread(self):
        seen, text = self.why(self.hang("own_callback"))
        culprit = self.node(seen, "own_callback")
        self.assertEqual(culprit["kind"], "thread")
        self.assertRegex(culprit["note"], r"inside a callback of \d+:1")
        self.assertIn("it sleeps inside a callback", text)

    def test_names_a_job_that_was_not_pushed(self):
        seen, text = self.why(self.hang("not_pushed"))
        culprit = self.node(seen, "not_pushed")
        self.assertEqual((culprit["type"], culprit["seqno"]), ("job's finished", 1))
        self.assertIn("armed and never pushed", text)

    def test_names_the_job_that_has_the_ring(self):
        seen, text = self.why(self.hang("no_credits"), "no_credits")
        waiting = self.node(seen, "no_credits")
        self.assertEqual(waiting["driver"], "test device")
        # What it hangs on is the device's fence of the other job.
        self.node(seen, "with_device")
        self.assertIn("the device has its job and has not signaled its fence", text)

    def test_names_a_scheduler_that_was_stopped(self):
        seen, text = self.why(self.hang("scheduler_stopped"))
        self.assertEqual(self.node(seen, "scheduler_stopped")["type"], "job's finished")
        self.assertIn("not started again", text)

    def test_lists_what_a_process_has(self):
        started = self.hang("never_signaled")
        self.why(started)
        listed = self.ufence("ls")
        self.assertRegex(listed, r"(?m)^process %d .*: 1 timelines, 1 fences alive, 1 pending, "
                                 r"1 threads sleep$" % started.pid)
        self.assertRegex(listed, r'(?m)^  \d+ "queue" of "test device": value 0, newest 1, 1 pending, '
                                 r"the oldest 1 ")
        seen = json.loads(self.ufence("ls", str(started.pid), "--json"))
        self.assertEqual([s["process"] for s in seen], [started.pid])

    def test_tells_for_how_long_a_fence_is_pending(self):
        started = self.hang("never_signaled")
        _, _ = self.why(started)
        while json.loads(self.ufence("why", str(started.pid), "--json"))["timelines"][0][
                "age_ns"] < 1_000_000_000:
            pass

    def test_says_what_is_missing(self):
        started = self.hang("never_signaled", UFENCE_DEBUG="0")
        finished = self.run_ufence("why", str(started.pid), env=self.environment)
        self.assert_succeeded(finished, 1)
        self.assertIn(b"it has no debug socket: start it with UFENCE_DEBUG=1", finished.stderr)
        finished = self.run_ufence("why", "0", env=self.environment)
        self.assert_succeeded(finished, 1)
        self.assertIn(b"there is no such process", finished.stderr)

    def test_socket_is_its_owners_alone_and_one_that_is_left_over_is_passed_over(self):
        started = self.hang("never_signaled")
        folder = self.folder / "run/ufence"
        self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)
        path = folder / str(started.pid)
        self.assertTrue(path.is_socket())
        started.stdin.close()
        started.stdin = None
        started.wait(support.PATIENCE_S)
        self.assertEqual(started.returncode, 0)
        self.assertEqual(self.ufence("ls"), "")

    @unittest.skipUnless(os.geteuid() == 0, "only root can be another user")
    def test_another_user_is_refused(self):
        started = self.hang("never_signaled")
        folder = self.folder / "run/ufence"
        path = folder / str(started.pid)
        self.assertIn("PermissionError", answer_to_other_user(path))
        # Even where the folder and the socket let him in, the process does not.
        for opened in (path, folder, self.folder / "run", self.folder):
            opened.chmod(0o777)
        self.assertEqual(answer_to_other_user(path), "b''")
        self.assertRegex(answer_to(path), r"^\{")


def answer_to(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(support.PATIENCE_S)
        connection.connect(str(path))
        connection.sendall(b"look\n")
        return connection.recv(100, socket.MSG_WAITALL).decode()


def answer_to_other_user(path):
    """What another user reads there, as Python writes it; or the name of the error."""
    script = ("import os, socket, sys\n"
              "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
              "s = socket.socket(socket.AF_UNIX)\n"
              "try:\n"
              "    s.connect(sys.argv[1])\n"
              "except OSError as e:\n"
              "    print(type(e).__name__); sys.exit()\n"
              "try:\n"
              "    s.sendall(b'look\\n'); print(s.recv(100))\n"
              "except ConnectionError:\n"
              "    print(b'')\n")
    return subprocess.run(["python3", "-c", script, str(path)], check=True, text=True,
                          stdout=subprocess.PIPE, timeout=support.PATIENCE_S).stdout.strip()


def build_id(path):
    notes = subprocess.run(["readelf", "-n", path], check=True, text=True,
                           stdout=subprocess.PIPE).stdout
    found = [line.split()[-1] for line in notes.splitlines() if "Build ID:" in line]
    return found[0] if found else ""


def function_at(path, offset):
    """The name of the function at an offset, from the program's symbols."""
    symbols = subprocess.run(["nm", "-C", "--defined-only", "-n", path], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
    name = ""
    for line in symbols.splitlines():
        address, _, symbol = line.split(maxsplit=2)
        if int(address, 16) > offset:
            break
        name = symbol
    return name


if __name__ == "__main__":
    unittest.main()
