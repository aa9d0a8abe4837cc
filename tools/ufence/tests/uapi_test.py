#!/usr/bin/env python3
"""What `ufence uapi` does around the program that it runs; what the program finds is tested elsewhere."""

import ctypes
import errno
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

from support import PATIENCE_S, PROGRAM, Case


# Makes a fence, signals it, and prints its states.
GO_PROGRAM = rb"""
package main

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

type create struct {
	value uint32
	name  [32]byte
	fence int32
}
type info struct {
	name              [32]byte
	status            int32
	flags, count, pad uint32
	leaves            uint64
}

func control(fd uintptr, code uintptr, argument unsafe.Pointer) {
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, fd, code, uintptr(argument)); e != 0 {
		fmt.Println(code, e)
		os.Exit(1)
	}
}

func status(fence int32) int32 {
	var i info
	control(uintptr(fence), 0xC0383E04, unsafe.Pointer(&i))
	return i.status
}

func main() {
	timeline, err := os.OpenFile("/dev/sw_sync", os.O_RDWR, 0)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	c := create{value: 1}
	control(timeline.Fd(), 0xC0285700, unsafe.Pointer(&c))
	before := status(c.fence)
	by := uint32(1)
	control(timeline.Fd(), 0x40045701, unsafe.Pointer(&by))
	fmt.Println(before, status(c.fence))
}
"""


HOLDING_PROGRAM = """
import fcntl, os, socket, struct, sys
peer = socket.socket(fileno=int(sys.argv[1]))
timeline = os.open("/dev/sw_sync", os.O_RDWR)
wanted = bytearray(struct.pack("I32si", 1, b"fence", 0))
fcntl.ioctl(timeline, 0xC0285700, wanted)
fence = struct.unpack("I32si", wanted)[2]
socket.send_fds(peer, [os.environ["UFENCE_UAPI_BROKER"].encode()], [timeline, fence])
"""

# Connects, as another user if it can become it, and says nothing.
HOLDER = """
import os, socket, sys
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(12345, 12345, 12345)
    os.setresuid(12345, 12345, 12345)
held = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(20)]
for s in held:
    s.connect(b"\\0" + sys.argv[1].encode())
print("ready", flush=True)
sys.stdin.read()
"""


class Uapi(Case):
    def run_program(self, *program, **more):
        return self.run_ufence("uapi", "--", *program, **more)

    def test_status_and_output_are_the_programs(self):
        done = self.run_program("sh", "-c", "echo out; echo err >&2; exit 7")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (7, b"out\n", b"err\n"))

    def test_options_of_the_program_are_its_own(self):
        done = self.run_program("printf", "%s|%s", "--serve", "-h")
        self.assertEqual((done.returncode, done.stdout), (0, b"--serve|-h"))

    def test_a_signal_that_ends_the_program_is_told(self):
        done = self.run_program("sh", "-c", "kill -KILL $$")
        self.assertEqual(done.returncode, 128 + signal.SIGKILL)

    def test_what_cannot_run_is_told(self):
        done = self.run_program("./no_such_program")
        self.assertEqual(done.returncode, 127)
        self.assertIn(b"./no_such_program", done.stderr)
        done = self.run_program("/dev/null")
        self.assertEqual(done.returncode, 126)
        self.assertEqual(self.run_ufence("uapi").returncode, 2)

    def test_devices_are_there_for_the_program_and_its_children(self):
        done = self.run_program("sh", "-c", "test -c /dev/sw_sync && sh -c 'exec 3<>/dev/sw_sync'")
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_a_termination_is_passed_on(self):
        running = subprocess.Popen(
            [PROGRAM, "uapi", "--", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"],
            stdout=subprocess.PIPE)
        self.assertEqual(running.stdout.readline(), b"ready\n")
        running.send_signal(signal.SIGTERM)
        self.assertEqual(running.wait(PATIENCE_S), 9)
        running.stdout.close()

    def start_holding(self, script):
        """A program that has sent its fence, its device and its broker's name; what it is sent is its
        child's, which outlives it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(ours.close)
        with theirs:
            running = self.start_ufence("uapi", "--", sys.executable, "-c", HOLDING_PROGRAM + script,
                                        str(theirs.fileno()), pass_fds=[theirs.fileno()])
        name, files, _, _ = socket.recv_fds(ours, 256, 2)
        for file in files:
            self.addCleanup(os.close, file)
        self.assertEqual(len(files), 2)
        return running, ours, name.decode(), files

    def hold_connections(self, name):
        """Until the end of the test."""
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, name], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, cwd="/")
        for end in (holder.wait, holder.stdin.close, holder.stdout.close):
            self.addCleanup(end)
        self.assertEqual(holder.stdout.readline(), b"ready\n")

    def test_regress_it_ends_whatever_others_hold(self):
        running, ours, name, (_, fence) = self.start_holding("peer.recv(1); os._exit(7)")
        self.hold_connections(name)
        ours.send(b"!")
        self.assertEqual(running.wait(PATIENCE_S), 7)
        self.assertTrue(select.select([fence], [], [], PATIENCE_S)[0])

    def test_regress_it_serves_whoever_descends_from_its_program(self):
        # Without a device of its own for a moment, in another session, its parent gone.
        script = """
if os.fork() == 0:
    os.setsid()
    os.close(timeline)
    os.close(fence)
    while sent := peer.recv(16):
        peer.send(str(os.getppid()).encode())
        os.close(os.open("/dev/sw_sync", os.O_RDWR))
    os._exit(0)
os._exit(7)
"""
        running, ours, name, _ = self.start_holding(script)
        self.hold_connections(name)
        ours.settimeout(PATIENCE_S)
        while True:  # until the program has ended
            ours.send(b"call")
            if int(ours.recv(16)) == running.pid:
                break
        ours.send(b"call")
        self.assertEqual(int(ours.recv(16)), running.pid)
        self.assertIsNone(running.poll())
        ours.shutdown(socket.SHUT_RDWR)
        self.assertEqual(running.wait(PATIENCE_S), 7)

    def test_regress_signals_are_its_own_when_its_program_has_ended(self):
        script = """
if os.fork() == 0:
    peer.send(b"on")
    peer.recv(16)
os._exit(7)
"""
        running, ours, _, _ = self.start_holding(script)
        self.assertEqual(ours.recv(16), b"on")
        while running.poll() is None:
            running.send_signal(signal.SIGTERM)
            time.sleep(0.01)
        self.assertEqual(running.returncode, -signal.SIGTERM)

    def test_regress_a_system_that_gives_no_descriptors_of_processes_will_do(self):
        def refuse():
            # pidfd_open() gives ENOSYS, everything else works.
            program = struct.pack("HBBIHBBIHBBIHBBI", 0x20, 0, 0, 0, 0x15, 0, 1, 434,
                                  0x06, 0, 0, 0x00050000 | errno.ENOSYS, 0x06, 0, 0, 0x7FFF0000)
            code = ctypes.create_string_buffer(program)
            filters = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 4, ctypes.addressof(code)))
            libc = ctypes.CDLL(None)
            if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, filters) != 0:
                os._exit(99)
        done = self.run_program("sh", "-c", "exec 3<>/dev/sw_sync && exit 7", preexec_fn=refuse)
        if done.returncode == 99:
            self.skipTest("no seccomp filters here")
        self.assertEqual((done.returncode, done.stderr), (7, b""))

    def test_programs_that_are_not_reached_are_told(self):
        head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1,
                           0, 0, 0)
        note = struct.pack("<IIQQQQQQ", 4, 4, 120, 120, 120, 16, 16, 4) + struct.pack(
            "<III4s", 4, 0, 4, b"Go\0\0")
        interpreter = struct.pack("<IIQQQQQQ", 3, 4, 120, 120, 120, 0, 0, 4)
        for name, content, why in (("static", head + struct.pack("<II48x", 4, 4), b"statically"),
                                   ("written", head + note, b" Go"), ("other", head + interpreter, b"")):
            self.write(name, content)
            os.chmod(self.folder / name, 0o755)
            done = self.run_program(f"./{name}")
            told = [line for line in done.stderr.splitlines() if b"do not reach" in line]
            self.assertEqual(len(told), 1 if why else 0, done.stderr)
            self.assertTrue(not told or why in told[0], done.stderr)
        self.assertEqual(self.run_program("true").stderr, b"")

    def test_the_status_is_known_though_its_parent_ignores_its_children(self):
        done = self.run_ufence("uapi", "--", "sh", "-c", "exit 7",
                               preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        self.assertEqual((done.returncode, done.stderr), (7, b""))

    def supervise(self, *program, **more):
        with open(PROGRAM, "rb") as file:
            content = file.read()
        if b"__asan_init" in content or b"__tsan_init" in content:
            self.skipTest("no sanitizer's runtime in a supervisor")
        done = self.run_ufence("uapi", "--seccomp", "--", *program, **more)
        if re.search(rb"seccomp: (Invalid argument|Function not implemented)", done.stderr):
            self.skipTest("no seccomp user notification here")
        return done

    def test_a_supervised_program_has_its_status_and_devices(self):
        # Without the library: system calls alone.
        script = "unset LD_PRELOAD; sh -c 'test -c /dev/sw_sync && exec 3<>/dev/sw_sync && echo out; exit 7'"
        done = self.supervise("sh", "-c", script)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (7, b"out\n", b""))
        self.assertEqual(self.supervise("sh", "-c", "kill -KILL $$").returncode, 128 + signal.SIGKILL)
        self.assertEqual(self.supervise("./no_such_program").returncode, 127)

    def test_one_supervisor_is_enough(self):
        done = self.supervise(PROGRAM, "uapi", "--seccomp", "--", "true")
        self.assertEqual(done.returncode, 126)
        self.assertIn(b"supervises this one already", done.stderr)

    def test_a_supervised_program_is_terminated(self):
        self.supervise("true")
        running = subprocess.Popen(
            [PROGRAM, "uapi", "--seccomp", "--", "sh", "-c",
             "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"], stdout=subprocess.PIPE)
        self.assertEqual(running.stdout.readline(), b"ready\n")
        running.send_signal(signal.SIGTERM)
        self.assertEqual(running.wait(PATIENCE_S), 9)
        running.stdout.close()

    def test_a_program_in_go_is_reached(self):
        go = shutil.which("go")
        if go is None:
            self.skipTest("no Go here")
        self.write("main.go", GO_PROGRAM)
        environment = dict(os.environ, HOME=str(self.folder), CGO_ENABLED="0")
        subprocess.run([go, "build", "-o", "program", "main.go"], cwd=self.folder, env=environment,
                       check=True, timeout=10 * PATIENCE_S)
        done = self.supervise("./program")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"0 1\n", b""))
        self.assertIn(b" Go", self.run_program("./program").stderr)

    def test_the_driver_can_be_chosen(self):
        program = """
import ctypes, fcntl, os, struct
name = ctypes.create_string_buffer(32)
version = bytearray(struct.pack("iii4xQQQQQQ", 0, 0, 0, 31, ctypes.addressof(name), 0, 0, 0, 0))
card = os.open("/dev/dri/card0", os.O_RDWR)
fcntl.ioctl(card, 0xC0406400, version)
print(name.value.decode(), open("/sys/dev/char/226:0/device/uevent").readline().strip())
try:
    fcntl.ioctl(card, 0xC0106441, bytearray(16))
except OSError as e:
    print(e.errno)
"""
        for driver, told in (("vgem", [b"vgem DRIVER=vgem", b"2"]),
                             ("virtio_gpu", [b"virtio_gpu DRIVER=virtio_gpu", b"22"])):
            done = self.run_ufence("uapi", "--driver", driver, "--", sys.executable, "-c", program)
            self.assertEqual((done.stdout.splitlines(), done.stderr), (told, b""))
        self.assertEqual(self.run_ufence("uapi", "--driver", "other", "--", "true").returncode, 2)

    def test_other_preloaded_libraries_stay(self):
        # A sanitized `ufence` wants its own library before all others.
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        environment = dict(os.environ, LD_PRELOAD="libdl.so.2", ASAN_OPTIONS=options)
        done = self.run_program("sh", "-c", "echo $LD_PRELOAD", env=environment)
        self.assertRegex(done.stdout, rb"^/.*/libufence-preload\.so:libdl\.so\.2\n$")


if __name__ == "__main__":
    unittest.main()
