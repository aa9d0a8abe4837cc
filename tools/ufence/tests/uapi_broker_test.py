#!/usr/bin/env python3
"""Which broker a program finds by itself, and what kind of process that is.

Abstract names belong to a network namespace: the tests have one of their own, so that nobody else's
broker is in the way.
"""

import ctypes
import os
import pathlib
import re
import resource
import select
import subprocess
import sys
import time
import unittest

from support import PATIENCE_S, PROGRAM, Case

CLONE_NEWNET = 0x40000000
PR_CAPBSET_DROP = 24
CAP_SYS_RESOURCE = 24
PR_SET_TIMERSLACK = 29
ADDR_NO_RANDOMIZE = 0x40000
PRELOAD = pathlib.Path(PROGRAM).resolve().parent.parent / "lib" / "libufence-preload.so"

# What programs of these tests begin with.
CLIENT = """
import ctypes, errno, fcntl, os, resource, struct, sys
def attempt(f, *arguments):
    try:
        f(*arguments)
        return "ok"
    except OSError as e:
        return errno.errorcode[e.errno]
def open_timeline():
    return os.open("/dev/sw_sync", os.O_RDWR)
def make_fence(timeline, value):
    wanted = bytearray(struct.pack("I32si", value, b"fence", 0))
    fcntl.ioctl(timeline, 0xC0285700, wanted)
    return struct.unpack("I32si", wanted)[2]
"""

# Holds addresses and writes what it is sent.
SQUATTER = """
import os, socket, sys
os.setgroups([])
os.setresgid(12345, 12345, 12345)
os.setresuid(12345, 12345, 12345)
kind = sys.argv[1]
sockets = []
for name in sys.argv[2:]:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.bind(b"\\0" + name.encode())
    if kind != "silent":
        s.listen(0 if kind == "full" else 100)
    sockets.append(s)
    if kind == "full":
        for _ in range(2):
            c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            c.setblocking(False)
            try:
                c.connect(b"\\0" + name.encode())
            except BlockingIOError:
                pass
            sockets.append(c)
print("ready", flush=True)
import select
while kind == "listens":
    for s in select.select(sockets, [], [])[0]:
        c = s.accept()[0]
        print(len(c.recv(4096)), flush=True)
sys.stdin.read()
"""


def broker_names():
    with open("/proc/net/unix", encoding="ascii", errors="replace") as sockets:
        return sorted(set(re.findall(r"@(ufence-uapi-broker/\S+)", sockets.read())))


def brokers():
    """Processes that serve in this namespace."""
    found = []
    here = os.readlink("/proc/self/ns/net")
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"--serve" in words and os.readlink(process / "ns" / "net") == here:
                found.append(process)
        except OSError:
            pass
    return found


def until(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Broker(Case):
    def setUp(self):
        super().setUp()
        os.chmod(self.folder, 0o755)
        # The last test's is about to end.
        self.assertTrue(until(lambda: not brokers()))

    def client(self, program, *, prefix=(), broker=None, **more):
        environment = dict(os.environ, LD_PRELOAD=str(PRELOAD))
        if broker is not None:
            environment["UFENCE_UAPI_BROKER"] = broker
        done = subprocess.run(
            [*prefix, sys.executable, "-c", CLIENT + program], cwd="/", env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
            timeout=PATIENCE_S, **more)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout.decode().split()

    def names(self):
        """Those that programs of this user try, the first one first."""
        self.assertEqual(self.client("print(attempt(open_timeline))"), ["ok"])
        found = broker_names()
        self.assertEqual(len(found), 1)
        self.assertTrue(found[0].endswith("/0"))
        self.assertTrue(until(lambda: not brokers()))
        return [found[0][:-1] + format(n, "x") for n in range(8)]

    def squat(self, kind, *names):
        if os.geteuid() != 0:
            self.skipTest("takes root")
        squatter = subprocess.Popen([sys.executable, "-c", SQUATTER, kind, *names],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
        self.addCleanup(squatter.stdout.close)
        self.addCleanup(squatter.wait)
        self.addCleanup(squatter.kill)
        self.addCleanup(squatter.stdin.close)
        self.assertEqual(squatter.stdout.readline(), b"ready\n")
        return squatter

    def told(self, squatter):
        """The sizes of what it got, each connection one."""
        sizes = []
        while select.select([squatter.stdout], [], [], 0)[0]:
            sizes.append(int(squatter.stdout.readline()))
        return sizes

    # --- Who is at the other end ---

    def test_regress_a_stranger_who_has_the_name_is_told_nothing(self):
        names = self.names()
        stranger = self.squat("listens", names[0])
        self.assertEqual(self.client("""
timeline = open_timeline()
fence = make_fence(timeline, 1)
print(attempt(os.close, timeline))"""), ["ok"])
        self.assertIn(names[1], broker_names())
        self.assertEqual(self.client("print(attempt(open_timeline))"), ["ok"])
        self.assertEqual(len(brokers()), 1)  # the second program has found the first one's
        self.assertTrue(until(lambda: select.select([stranger.stdout], [], [], 0)[0]))
        self.assertEqual(set(self.told(stranger)), {0})

    def test_strangers_who_never_listen_or_answer_are_passed_over(self):
        names = self.names()
        self.squat("silent", names[0])
        self.squat("full", names[1])
        self.assertEqual(self.client("print(attempt(open_timeline))"), ["ok"])
        self.assertIn(names[2], broker_names())

    def test_strangers_who_have_all_names_are_said_to(self):
        stranger = self.squat("listens", *self.names())
        self.assertEqual(self.client("print(attempt(open_timeline))"), ["EACCES"])
        self.assertEqual(set(self.told(stranger)) - {0}, set())

    def test_regress_a_stranger_under_the_name_of_the_environment_is_told_nothing(self):
        stranger = self.squat("listens", "given")
        self.assertEqual(self.client("print(attempt(open_timeline))", broker="given"), ["EACCES"])
        self.assertEqual(set(self.told(stranger)) - {0}, set())

    def test_a_device_of_a_strangers_broker_is_told_nothing(self):
        if os.geteuid() != 0:
            self.skipTest("takes root")
        self.assertEqual(self.client("""
timeline = open_timeline()
os.setresuid(12345, 12345, 12345)
print(attempt(make_fence, timeline, 1))
"""), ["ok"])  # root's is trusted
        done = self.client("""
timeline = open_timeline()
import socket
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
if os.fork() == 0:
    os.setresgid(12345, 12345, 12345)
    os.setresuid(12345, 12345, 12345)
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    a.bind(b"\\0ufence-uapi/s/1")
    socket.send_fds(theirs, [b"x"], [b.fileno()])
    theirs.recv(1)
    a.setblocking(False)
    print(attempt(a.recv, 1), flush=True)
    os._exit(0)
forged = socket.recv_fds(ours, 1, 1)[1][0]
print(attempt(make_fence, forged, 1), flush=True)
ours.send(b"x")
os.wait()""")
        self.assertEqual(done, ["EACCES", "EAGAIN"])

    def test_regress_each_namespace_of_users_has_its_own(self):
        names = self.names()
        probe = subprocess.run(["unshare", "-Ur", "true"], check=False, stderr=subprocess.DEVNULL)
        if probe.returncode != 0:
            self.skipTest("no namespaces of users here")
        self.assertEqual(self.client("print(attempt(open_timeline))", prefix=("unshare", "-Ur")),
                         ["ok"])
        self.assertNotIn(names[0], broker_names())

    def test_regress_a_device_is_known_in_another_network(self):
        if os.geteuid() != 0:
            self.skipTest("takes root")
        self.assertEqual(self.client("""
timeline = open_timeline()
if ctypes.CDLL(None, use_errno=True).unshare(0x40000000) != 0:
    raise OSError(ctypes.get_errno(), "unshare")
import select
fence = make_fence(timeline, 1)
print(len(select.select([fence], [], [], 0)[0]))
fcntl.ioctl(timeline, 0x40045701, struct.pack("I", 1))
print(len(select.select([fence], [], [], 0)[0]))
second = make_fence(timeline, 2)
os.close(timeline)
print(len(select.select([second], [], [], 0)[0]))"""), ["0", "1", "1"])

    def test_regress_buffers_are_there_where_memory_files_may_not_be_executable(self):
        for setting in "12":
            script = f"echo {setting} > /proc/sys/vm/memfd_noexec && exec \"$@\""
            prefix = ("unshare", "-pf", "--mount-proc", "sh", "-c", script, "sh")
            probe = subprocess.run([*prefix, "true"], check=False, stderr=subprocess.DEVNULL)
            if probe.returncode != 0:
                self.skipTest("no namespace of processes, or no such setting")
            self.assertEqual(self.client("""
import select
drm = os.open("/dev/dri/card0", os.O_RDWR)
wanted = bytearray(struct.pack("IIIIIIQ", 1, 1024, 32, 0, 0, 0, 0))
fcntl.ioctl(drm, 0xC02064B2, wanted)
handle = struct.unpack_from("I", wanted, 16)[0]
wanted = bytearray(struct.pack("IIi", handle, os.O_RDWR, -1))
fcntl.ioctl(drm, 0xC00C642D, wanted)
buffer = struct.unpack_from("i", wanted, 8)[0]
def is_idle():
    found = select.poll()
    found.register(buffer, select.POLLIN)
    return len(found.poll(0))
wanted = bytearray(struct.pack("IIII", handle, 1, 0, 0))
fcntl.ioctl(drm, 0xC0106441, wanted)
print(is_idle())
fcntl.ioctl(drm, 0x40086442, struct.pack("II", struct.unpack_from("I", wanted, 8)[0], 0))
print(is_idle())
print(os.read(os.open("/sys/dev/char/226:0/uevent", os.O_RDONLY), 6).decode())
os.close(os.open("/dev/sw_sync", os.O_RDWR))""", prefix=prefix), ["0", "1", "MAJOR="])

    def test_a_sandbox_without_messages_is_told_what_it_refuses(self):
        done = self.client("""
timeline = open_timeline()
code = ctypes.create_string_buffer(struct.pack("HBBIHBBIHBBIHBBI", 0x20, 0, 0, 0, 0x15, 0, 1, SENDMSG,
                                               0x06, 0, 0, 0x00050001, 0x06, 0, 0, 0x7FFF0000))
filters = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 4, ctypes.addressof(code)))
libc = ctypes.CDLL(None)
if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, filters) != 0:
    print("skip")
    sys.exit(0)
print(attempt(make_fence, timeline, 1), attempt(open_timeline))
""".replace("SENDMSG", "46" if os.uname().machine == "x86_64" else "211"))
        if done == ["skip"]:
            self.skipTest("no seccomp filters here")
        self.assertEqual(done, ["EPERM", "EPERM"])

    STOPPED = """
import pathlib, signal
drm = os.open("/dev/dri/card0", os.O_RDWR)
made = bytearray(8)
fcntl.ioctl(drm, 0xC00864BF, made)
handle = ctypes.c_uint32(struct.unpack_from("I", made)[0])
wait = struct.pack("QqIIII", ctypes.addressof(handle), 1 << 62, 1, 2, 0, 0)
def is_broker(process):
    try:
        return (b"--serve" in (process / "cmdline").read_bytes().split(b"\\0") and
                os.readlink(process / "ns" / "net") == os.readlink("/proc/self/ns/net"))
    except OSError:
        return False
brokers = [int(p.name) for p in pathlib.Path("/proc").glob("[0-9]*") if is_broker(p)]
signal.signal(signal.SIGALRM, lambda *_: None)
# Python itself would call again.
libc = ctypes.CDLL(None, use_errno=True)
os.kill(brokers[0], signal.SIGSTOP)
signal.setitimer(signal.ITIMER_REAL, PERIOD, PERIOD)
results = set()
for _ in range(TIMES):
    result = libc.ioctl(drm, ctypes.c_ulong(0xC02064C3), wait)
    results.add(f"{result}:{errno.errorcode.get(ctypes.get_errno())}")
signal.setitimer(signal.ITIMER_REAL, 0)
os.kill(brokers[0], signal.SIGCONT)
print(*results)
print(attempt(open_timeline))"""

    def test_a_wait_is_interrupted_though_the_broker_is_stopped(self):
        self.assertEqual(self.client(self.STOPPED.replace("PERIOD", "0.2").replace("TIMES", "1")),
                         ["-1:EINTR", "ok"])

    def test_regress_a_wait_is_interrupted_where_a_stopped_broker_takes_no_connection(self):
        # Each one leaves a connection in the device's queue, which has room for some hundreds of them.
        self.assertEqual(self.client(self.STOPPED.replace("PERIOD", "0.001").replace("TIMES", "600")),
                         ["-1:EINTR", "ok"])

    # --- What kind of process it is ---

    def test_regress_is_not_made_where_it_could_not_live_long(self):
        def limit(which):
            # Who may lift limits does.
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0)
            resource.setrlimit(which, (1 << 30, 1 << 30))
        for which in (resource.RLIMIT_CPU, resource.RLIMIT_FSIZE):
            self.assertEqual(self.client("print(attempt(open_timeline))",
                                         preexec_fn=lambda which=which: limit(which)), ["EPERM"])
            self.assertEqual(brokers(), [])
        # One that is there is used.
        self.assertEqual(self.client("print(attempt(open_timeline))"), ["ok"])
        self.assertEqual(self.client("print(attempt(open_timeline))",
                                     preexec_fn=lambda: limit(resource.RLIMIT_CPU)), ["ok"])

    def test_regress_has_nothing_of_the_program_that_came_first(self):
        def burden():
            os.nice(5)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_CPU, (1000, resource.RLIM_INFINITY))
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            resource.setrlimit(resource.RLIMIT_STACK, (1 << 18, resource.getrlimit(resource.RLIMIT_STACK)[1]))
            ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 10**9, 0, 0, 0)
            ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE)
            os.umask(0o777)
        self.assertEqual(self.client("print(attempt(open_timeline))", preexec_fn=burden), ["ok"])
        process = brokers()[0]
        limits = (process / "limits").read_text()
        for name in ("Max cpu time", "Max file size"):
            self.assertRegex(limits, name + r" +unlimited +unlimited")
        self.assertNotRegex(limits, "Max stack size +262144 ")
        self.assertEqual((process / "timerslack_ns").read_text().strip(), "50000")
        self.assertEqual(int((process / "personality").read_text(), 16), 0)
        self.assertEqual(os.sched_getaffinity(int(process.name)), os.sched_getaffinity(0))
        if os.geteuid() == 0:
            self.assertEqual(os.getpriority(os.PRIO_PROCESS, int(process.name)), 0)
        self.assertEqual(os.getpgid(int(process.name)), int(process.name))
        self.assertEqual(os.getsid(int(process.name)), os.getsid(0))


if __name__ == "__main__":
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
        print("skipped: no network namespace to be had")
        sys.exit(0)
    unittest.main()
