"""`ufence ls` and `ufence why` over programs that hang in known ways: by the debug socket, in the memory of the
process, and from its core file."""

import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import time
import unittest

import support

HANG = os.environ["UFENCE_HANG_PROGRAM"]
LIBRARY = os.environ["UFENCE_LIBRARY"]
# Sanitizers reserve terabytes, and forbid cores.
HAS_CORES = os.environ["UFENCE_HAS_CORES"] == "1"
# What a thread has on its stack is looked at there: AddressSanitizer may have local variables elsewhere.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_stack_use_after_return=0"
TORN_SECONDS = float(os.environ.get("UFENCE_TORN_SECONDS", "2"))


class Look(support.Case):
    SETTINGS = {"UFENCE_DEBUG": "1"}
    OPTIONS = []

    def hang(self, how, **more):
        """Starts the program and returns its process once it hangs in that way."""
        runtime = self.folder / "run"
        runtime.mkdir(mode=0o700, exist_ok=True)
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=str(runtime), **self.SETTINGS)
        self.environment.pop("UFENCE_WATCHDOG", None)
        self.environment.update(more)
        started = subprocess.Popen(
            [HANG, how], cwd=self.folder, env=self.environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2))
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
        while True:
            seen = json.loads(self.ufence("why", self.at(started), *self.OPTIONS, "--json"))
            if cause is None or any(n["cause"] == cause for n in seen["nodes"]):
                return seen, self.ufence("why", self.at(started), *self.OPTIONS)

    def at(self, started):
        """What `why` is to look at."""
        return str(started.pid)

    def node(self, seen, cause):
        """The one node with this cause."""
        found = [n for n in seen["nodes"] if n["cause"] == cause]
        self.assertEqual(len(found), 1, json.dumps(seen["nodes"], indent=1))
        return found[0]

    def names_an_exporter_that_is_stopped(self):
        """The program that hangs for it, and what is told of the exporter."""
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
        return started, culprit

    def thread(self, seen):
        found = [n for n in seen["nodes"] if n["kind"] == "thread"]
        self.assertEqual(len(found), 1)
        return found[0]



class Hangs(Look):
    """Asks the process."""

    def test_names_a_timeline_that_nobody_signals(self):
        started = self.hang("never_signaled")
        seen, text = self.why(started)
        culprit = self.node(seen, "never_signaled")
        self.assertEqual((culprit["driver"], culprit["timeline"]), ("test device", "queue"))
        self.assertEqual(culprit["type"], "timeline fence")
        self.assertEqual(culprit["place"]["module"], os.path.realpath(HANG))
        self.assertEqual(culprit["place"]["build_id"], build_id(HANG))
        thread = self.thread(seen)
        self.assertTrue(started.poll() is not None or
                        pathlib.Path(f"/proc/{started.pid}/task/{thread['id']}").exists())
        self.assertEqual(thread["place"]["module"], os.path.realpath(HANG))
        self.assertIn("wait_for_the_device", function_at(HANG, thread["place"]["offset"]))
        self.assertIn("wait_for_the_device", thread["place"]["symbol"])
        self.assertEqual(seen["torn"], 0)
        self.assertRegex(text, r'(?m)^  \d+:1 timeline fence "queue" of "test device", pending.*'
                               r"nobody has signaled it")
        self.assertRegex(text, r"(?m)^    <- thread %d " % thread["id"])
        # From the waiter down it is the same, the other way round.
        down = self.ufence("why", self.at(started), *self.OPTIONS, "--down")
        self.assertRegex(down, r"(?m)^  thread %d .*\n    -> \d+:1 timeline fence" % thread["id"])
        # And the same of the fence alone.
        name = f"{culprit['context']}:{culprit['seqno']}"
        self.assertIn(f"<- thread {thread['id']}",
                      self.ufence("why", self.at(started), *self.OPTIONS, name))

    def test_names_a_fence_of_the_kernels_interface(self):
        seen, _ = self.why(self.hang("kernel_fence"))
        culprit = self.node(seen, "never_signaled")
        self.assertEqual(culprit["type"], "fence of the kernel's interface")
        # Its issuer's code says its names: only the process itself can ask it.
        self.assertEqual((culprit["driver"], culprit["timeline"]),
                         ("test device", "kernel's queue") if type(self) is Hangs
                         else ("detached-driver", "signaled-timeline"))

    def test_names_a_device_that_was_not_heard(self):
        seen, text = self.why(self.hang("lost_notification"))
        culprit = self.node(seen, "lost_notification")
        self.assertIn("the device has written 1", culprit["note"])
        self.assertEqual(seen["timelines"][0]["device_seqno"], 1)
        self.assertEqual(seen["timelines"][0]["completed"], 0)
        self.assertIn("nobody has called notify()", text)

    def test_names_a_point_that_nobody_has_submitted(self):
        for how in ("not_submitted", "not_submitted_of_several"):
            with self.subTest(how=how):
                seen, text = self.why(self.hang(how))
                culprit = self.node(seen, "not_submitted")
                self.assertEqual((culprit["type"], culprit["seqno"]), ("point of a syncobj", 4))
                self.assertIn("nobody has submitted it", text)

    def test_names_a_circle_through_two_arrays(self):
        seen, text = self.why(self.hang("circle"))
        self.assertEqual(len(seen["circles"]), 1, json.dumps(seen, indent=1))
        circle = [seen["nodes"][n] for n in seen["circles"][0]]
        self.assertEqual(sorted(n["type"] for n in circle),
                         ["array (all of 2)", "array (all of 2)", "plain fence", "plain fence"])
        self.assertTrue(all(n["cause"] == "circle" for n in circle))
        # Which fence a callback signals is a guess, and is told as one.
        self.assertIn("perhaps a circle: ", text)

    def test_names_the_owner_of_a_shared_timeline(self):
        started = self.hang("owner_stopped")
        seen, text = self.why(started)
        point, = [n for n in seen["nodes"] if n["type"] == "point of a shared timeline"]
        self.assertEqual((point["timeline"], point["seqno"]), ("of the child", 7))
        self.assertIn("the last point that is reached is 0", point["note"])
        if isinstance(self, HangsInCore):
            self.assertIn("another process has to signal it", text)
            return
        owner = self.node(seen, "exporter_stopped")
        parent = pathlib.Path(f"/proc/{owner['id']}/stat").read_text().rsplit(")")[1].split()[1]
        self.assertEqual(int(parent), started.pid)
        self.assertIn("the process that has to signal it is stopped", text)

    def test_names_a_circle_across_two_processes(self):
        if isinstance(self, HangsInCore):
            self.skipTest("a core knows one process")
        started = self.hang("circle_across")
        seen, text = self.why(started)
        self.assertEqual(len(seen["circles"]), 1, json.dumps(seen, indent=1))
        circle = [seen["nodes"][n] for n in seen["circles"][0]]
        self.assertEqual(sorted(n["type"] for n in circle if n["kind"] == "fence"),
                         ["plain fence"] * 2 + ["sync file of another process"] * 2)
        self.assertEqual(sum(n["kind"] == "thread" for n in circle), 2)
        others = {n["process"] for n in circle}
        self.assertEqual(len(others), 2)
        self.assertIn(0, others)
        self.assertRegex(text, r"perhaps a circle: .*in process \d+: ")
        # Who holds its sync file.
        own, = [n for n in circle if n["process"] == 0 and n["type"] == "plain fence"]
        other, = others - {0}
        self.assertRegex(own["note"], rf'its sync file is held by process .*\b{other} "')

    def test_names_a_callback_that_waits_for_its_own_thread(self):
        seen, text = self.why(self.hang("own_callback"))
        culprit = self.node(seen, "own_callback")
        self.assertEqual(culprit["kind"], "thread")
        self.assertRegex(culprit["note"], r"inside a callback of \d+:1")
        self.assertIn("it sleeps inside a callback", text)

    def test_names_the_thread_that_has_a_lock(self):
        for how, name in (("lock_is_held", "holder"), ("lock_was_left", None)):
            with self.subTest(how=how):
                started = self.hang(how)
                seen, text = self.why(started, "holds_lock")
                holder = self.node(seen, "holds_lock")
                self.assertEqual(holder["kind"], "thread")
                waiter, = [n for n in seen["nodes"] if n["kind"] == "thread" and n["cause"] != "holds_lock"]
                self.assertRegex(waiter["state"], r"until the lock at 0x[0-9a-f]+ is unlocked")
                self.assertIn("lock_is_held", waiter["place"]["symbol"])
                self.assertRegex(text, r"(?m)^  %s: it has not unlocked what others wait for.*\n"
                                       r"    <- \(the lock at 0x[0-9a-f]+\) thread %d " %
                                 (f'thread {holder["id"]} ".*"' if name else "a thread that is not known", waiter["id"]))
                if name is None:
                    self.assertIn("it runs, or has ended", text)
                elif type(self) is not HangsInCore:
                    self.assertEqual(holder["driver"], name)
                    self.assertTrue(pathlib.Path(f"/proc/{started.pid}/task/{holder['id']}").exists())

    def test_names_circles_of_locks(self):
        for how, threads, fences in (("lock_taken_twice", 1, 0), ("circle_of_locks", 2, 0),
                                     ("circle_of_lock_and_fence", 2, 1)):
            with self.subTest(how=how):
                seen, text = self.why(self.hang(how))
                self.assertEqual(len(seen["circles"]), 1, json.dumps(seen, indent=1))
                circle = [seen["nodes"][n] for n in seen["circles"][0]]
                self.assertEqual(sum(n["kind"] == "thread" for n in circle), threads)
                self.assertEqual(sum(n["kind"] == "fence" for n in circle), fences)
                # Who signals a fence is a guess.
                self.assertRegex(text, r"(?m)^  perhaps a circle: " if fences else r"(?m)^  a circle: ")
                self.assertIn("(the lock at 0x", text)

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


class HangsOutside(Hangs):
    """Reads its memory."""

    SETTINGS = {"UFENCE_DEBUG": "0"}


@unittest.skipUnless(HAS_CORES, "sanitizers forbid cores")
class HangsInCore(Hangs):
    """Reads its core file."""

    SETTINGS = {"UFENCE_DEBUG": "0"}

    def why(self, started, cause=None):
        # Once it has come so far.
        while cause is not None and cause not in self.ufence("why", str(started.pid), "--json"):
            pass
        return super().why(started)

    def at(self, started):
        return str(core_of(started, self.folder))

    def test_a_damaged_core_is_refused_or_told_as_far_as_it_goes(self):
        core = core_of(self.hang("no_credits"), self.folder)
        content = bytearray(core.read_bytes())
        for part in range(1, 16):
            core.write_bytes(content[:len(content) * part // 16])
            finished = self.run_ufence("why", str(core), env=self.environment)
            self.assertIn(finished.returncode, (0, 1))
            self.assertEqual(finished.returncode == 0, b"ufence:" not in finished.stderr, finished.stderr)
        # Each word of the headers, and of what the note leads to, in turn.
        for at in range(0, 4096, 40):
            damaged = bytearray(content)
            damaged[at:at + 8] = b"\xa5" * 8
            core.write_bytes(damaged)
            finished = self.run_ufence("why", str(core), env=self.environment)
            self.assertIn(finished.returncode, (0, 1), f"at {at}: {finished.stderr}")


class Sockets(Look):
    def test_names_an_exporter_that_is_stopped(self):
        self.names_an_exporter_that_is_stopped()

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

    def test_reads_the_memory_of_a_process_that_is_stopped(self):
        started = self.hang("never_signaled", UFENCE_DEBUG="0")
        started.send_signal(signal.SIGSTOP)
        seen, _ = self.why(started)
        self.node(seen, "never_signaled")

    def refused(self, *args):
        """What `ufence` says to that."""
        finished = self.run_ufence(*args, env=self.environment)
        self.assert_succeeded(finished, 1)
        return finished.stderr.decode()

    def test_says_what_is_missing(self):
        self.hang("never_signaled", UFENCE_DEBUG="0")
        self.assertIn("there is no such process", self.refused("why", "0"))
        self.assertIn("it has no libufence", self.refused("why", str(os.getpid())))
        self.assertIn("No such file", self.refused("why", "no.core"))
        self.assertIn("it is no core file", self.refused("why", HANG))

    @unittest.skipUnless(HAS_CORES, "sanitizers want to be the first library")
    def test_another_version_of_the_layout_is_refused(self):
        changed = self.folder / "libufence.so.0"
        content = bytearray(pathlib.Path(LIBRARY).read_bytes())
        note = content.index(struct.pack("<III8s", 7, 16, 1, b"ufence"))
        version, = struct.unpack_from("<I", content, note + 20)
        struct.pack_into("<I", content, note + 20, version + 1)
        changed.write_bytes(content)
        started = self.hang("never_signaled", UFENCE_DEBUG="0", LD_PRELOAD=str(changed))
        self.environment.pop("LD_PRELOAD")
        self.assertIn(f"{changed} has its memory laid out by version {version + 1}; this program knows "
                      f"version {version}", self.refused("why", str(started.pid)))

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


class Outside(Look):
    SETTINGS = {"UFENCE_DEBUG": "0"}

    def test_the_watchdog_names_each_culprit(self):
        expected = {"never_signaled": "nobody has signaled it",
                    "lost_notification": "nobody has called notify()",
                    "circle": "perhaps a circle: ",
                    "circle_across": "another process has to signal it",
                    "exporter_stopped": "the process that has to signal it is stopped",
                    "own_callback": "it sleeps inside a callback",
                    "lock_is_held": "it has not unlocked what others wait for",
                    "circle_of_lock_and_fence": "perhaps a circle: ",
                    "not_pushed": "armed and never pushed",
                    "no_credits": "the device has its job and has not signaled its fence",
                    "scheduler_stopped": "not started again"}
        running = {how: self.hang(how, UFENCE_WATCHDOG="1") for how in expected}
        for how, sentence in expected.items():
            told = b""
            while sentence.encode() not in told:
                line = running[how].stderr.readline()
                self.assertTrue(line, f"{how}: {told.decode()}")
                told += line
            self.assertIn(b"stuck", told)

    def test_tells_what_went_on_since_a_dump(self):
        started = self.hang("never_signaled")
        pid = str(started.pid)
        dump = self.folder / "dump.json"
        dump.write_text(self.ufence("ls", pid, "--json"))
        told = self.ufence("ls", pid, "--since", str(dump))
        self.assertRegex(told, r"(?m)^still there\n  thread \d+ .*\n  \d+:1 timeline fence ")
        self.assertRegex(told, r'(?m)^  \d+ "queue" of "test device": stands at 0 of 1, 1 pending$')
        self.assertNotIn("gone", told)
        # Nothing of the one is in the other.
        seen = json.loads(dump.read_text())
        for node in seen[0]["nodes"]:
            node["context"] += 1000
            node["id"] += 1000
        seen[0]["timelines"][0]["context"] += 1000
        dump.write_text(json.dumps(seen))
        told = self.ufence("ls", pid, "--since", str(dump))
        self.assertRegex(told, r"(?s)^process .*\ngone\n  thread .*\nnew\n  thread .*: gone\n$")
        # A dump is explained as a process is.
        self.assertIn("nobody has signaled it", self.ufence("why", str(dump)))

    def test_top_shows_the_oldest_first(self):
        started = self.hang("never_signaled")
        told = self.ufence("top", str(started.pid), "--count", "2", "--interval", "0.05")
        self.assertEqual(told.count("OLDEST"), 2)
        self.assertRegex(told, r"(?m)^ +\d+\.\d s +0 +0 +1 +1 +\d+  queue of test device\nthread \d+ ")

    def test_names_an_exporter_that_is_stopped(self):
        started, culprit = self.names_an_exporter_that_is_stopped()
        # The other one is looked at too: nobody signals it there.
        _, text = self.why(started)
        self.assertRegex(text, r"(?m)^  in process %d: .* plain fence .*: nobody has signaled it; "
                               r"its sync file is held by process " % culprit["id"])

    def test_what_changes_while_it_is_read_is_never_told_wrong(self):
        started = self.hang("busy")
        pid = str(started.pid)
        until = time.monotonic() + TORN_SECONDS
        looks = 0
        while looks < 3 or time.monotonic() < until:
            seen = json.loads(self.run_ufence("ls", pid, "--all", "--json", env=self.environment).stdout)[0]
            looks += 1
            # What stays is always there, and named.
            stays = [n for n in seen["nodes"] if n["kind"] == "thread" and
                     "wait_for_the_device" in n["place"]["symbol"]]
            self.assertGreaterEqual(len(stays), 1, json.dumps(seen, indent=1))
            for line in seen["timelines"]:
                self.assertIn((line["driver"], line["name"]), {("test device", "queue"), ("busy", "short")})
                self.assertLessEqual(line["completed"], 1 << 62)
            for node in seen["nodes"]:
                self.assertIn(node["kind"], {"thread", "fence"})
                if node["kind"] == "fence" and node["state"] == "pending" and node["type"] == "timeline fence":
                    self.assertIn(node["timeline"], {"queue", "short"})
            for edge in seen["edges"]:
                self.assertLess(max(edge["from"], edge["to"]), len(seen["nodes"]))

    @unittest.skipUnless(os.geteuid() == 0, "only root can be another user")
    def test_another_user_is_refused(self):
        started = self.hang("never_signaled")
        program = shutil.copy(os.environ["UFENCE_PROGRAM"], self.folder / "ufence")
        self.folder.chmod(0o755)
        shutil.copy(LIBRARY, self.folder / "libufence.so.0")
        environment = dict(self.environment, LD_LIBRARY_PATH=str(self.folder))
        finished = subprocess.run([program, "why", str(started.pid)], env=environment, user=65534, group=65534,
                                  extra_groups=[], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=support.PATIENCE_S)
        self.assertEqual(finished.returncode, 1)
        self.assertIn(b"its memory can not be read (Permission denied)", finished.stderr)


def core_of(started, folder):
    """Ends the program with a core file; again: the same one."""
    core = folder / f"of-{started.pid}.core"
    if core.exists():
        return core
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern == "core":
        started.send_signal(signal.SIGABRT)
        started.wait(support.PATIENCE_S)
    else:
        subprocess.run(["gcore", "-o", str(folder / "core"), str(started.pid)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    made, = folder.glob("core*")
    return made.rename(core)


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
