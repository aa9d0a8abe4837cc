"""`ufence record` and `ufence report`: what is in a trace, and what becomes of damaged ones."""

import os
import pathlib
import re
import signal
import stat
import subprocess
import sys
import time
import unittest

import perfetto
import support

STORY = os.environ["UFENCE_STORY_PROGRAM"]
HEADER = 40


class Record(support.Case):
    def setUp(self):
        super().setUp()
        runtime = self.folder / "run"
        runtime.mkdir(mode=0o700)
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=str(runtime), TMPDIR=str(self.folder))
        for name in ("UFENCE_RECORD", "UFENCE_DEBUG"):
            self.environment.pop(name, None)

    def ufence(self, *args, status=0, **more):
        finished = self.run_ufence(*args, env=self.environment, **more)
        self.assert_succeeded(finished, status)
        return finished

    def trace(self, name):
        """The trace, which keeps what every one has to."""
        found = perfetto.Trace((self.folder / name).read_bytes())
        self.assertEqual(set(found.flows_from), set(found.flows_to))
        names = [(track.parent, track.name) for track in found.tracks.values() if track.merging == 2]
        self.assertEqual(len(names), len(set(names)))
        for one in found.slices:
            self.assertLessEqual(one.begin, one.end)
        # A lane has one fence at a time.
        lanes = {}
        for event in found.events:
            if found.tracks[event.track].merging != 1:
                continue
            lanes[event.track] = lanes.get(event.track, 0) + (1 if event.type == perfetto.BEGIN else -1)
            self.assertIn(lanes[event.track], (0, 1))
        return found

    @staticmethod
    def fences(trace):
        return [s for s in trace.slices if trace.tracks[s.track].merging == 1]

    def told(self, finished):
        """(events, fences, signaled, waits) as the command told them."""
        found = re.search(rb"(\d+) events of \d+ processes: (\d+) fences, (\d+) of them signaled, (\d+) waits",
                          finished.stderr)
        self.assertTrue(found, finished.stderr)
        return tuple(map(int, found.groups()))


class Program(Record):
    def test_a_trace_has_each_fence_and_what_it_depends_on(self):
        finished = self.ufence("record", "-o", "story.pftrace", "--", STORY)
        trace = self.trace("story.pftrace")
        fences = self.fences(trace)
        rows = {trace.row_of(s.track).name for s in fences}
        context = {name.split("-")[1]: name.split("-")[2] for name in rows if name.startswith("fence-")}
        self.assertEqual(set(context), {"queue", "ordered"})
        # story_program.cc: 3 fences with errors 0, 0, -5, and an array of all; 4 of one value.
        queue = [s for s in fences if trace.row_of(s.track).name.startswith("fence-queue-")]
        self.assertEqual([s.keys.get("error", 0) for s in queue], [0, 0, -5])
        self.assertTrue(all(s.keys["driver"] == "story" for s in queue))
        ordered = [s for s in fences if trace.row_of(s.track).name.startswith("fence-ordered-")]
        self.assertEqual([s.name for s in ordered], ["1", "2", "3", "4"])
        self.assertEqual(len({s.end for s in ordered}), 1)
        containers = [s for s in fences if trace.row_of(s.track).name == "containers"]
        self.assertEqual(len(containers), 1)
        # The one that nobody signals.
        self.assertEqual([e.name.split(":")[1] for e in trace.open], ["77"])
        _, count, signaled, waits = self.told(finished)
        self.assertEqual((count, signaled), (len(fences) + 1, len(fences)))
        self.assertEqual(len(trace.named("dma_fence_signaled")), signaled)
        self.assert_waits(trace, waits)

    def assert_waits(self, trace, waits):
        found = [s for s in trace.slices if s.name == "dma_fence_wait"]
        self.assertEqual(len(found), waits)
        for wait in found:
            self.assertEqual(len(wait.begins), 1)
            signal_event = trace.flows_to[wait.begins[0]]
            self.assertEqual(signal_event.name, "dma_fence_signaled")
            for key in ("context", "seqno"):
                self.assertEqual(signal_event.keys[key], wait.keys[key])
        self.assertIn("waits", {trace.tracks[w.track].name for w in found})
        # Each child of the array leads to it.
        array = [e for e in trace.named("dma_fence_signaled") if len(e.ends) >= 3]
        self.assertEqual(len(array), 1)

    def test_the_exit_status_is_the_programs(self):
        self.ufence("record", "--", STORY, "exit", status=3)
        finished = self.run_ufence("record", "-o", "a.trace", "--", STORY, "kill", env=self.environment)
        self.assert_succeeded(finished, 128 + signal.SIGKILL)
        self.assertIn(b"was killed", finished.stderr)
        self.ufence("record", "--", "no-such-program", status=127)
        finished = self.ufence("record", "--", "true", status=1)
        self.assertIn(b"nothing was recorded", finished.stderr)
        self.ufence("record", status=2)

    def test_a_parent_may_ignore_its_children(self):
        """The status is known all the same, and the program has what that parent wanted."""
        script = "import signal; print(signal.getsignal(signal.SIGCHLD).name); exit(3)"
        for wanted in (signal.SIG_DFL, signal.SIG_IGN):
            finished = self.ufence("record", "-o", "a.trace", "--", sys.executable, "-c", script, status=3,
                                   preexec_fn=lambda: signal.signal(signal.SIGCHLD, wanted))
            self.assertEqual(finished.stdout.decode(), wanted.name + "\n")

    def test_the_output_is_a_new_file_like_others_and_nothing_else_is_left(self):
        (self.folder / "out").mkdir()
        self.ufence("record", "-o", "out/a.trace", "--", STORY)
        self.assertEqual(os.listdir(self.folder / "out"), ["a.trace"])
        mask = os.umask(0)
        os.umask(mask)
        self.assertEqual(stat.S_IMODE(os.stat(self.folder / "out/a.trace").st_mode), 0o666 & ~mask)

    def test_where_nothing_can_be_written_nothing_is_started(self):
        refused = self.ufence("record", "-o", "nowhere/a.trace", "--", "touch", "started", status=1)
        self.assertIn(b"nowhere/a.trace: No such file or directory", refused.stderr)
        self.assertFalse((self.folder / "started").exists())

    def test_an_output_that_is_no_regular_file_is_written_into(self):
        native = self.run_ufence("record", "-o", "/dev/stdout", "--", STORY, env=self.environment).stdout
        self.assertTrue(native.startswith(b"uftr"), native[:8])
        self.write("a.trace", native)
        self.ufence("report", "a.trace", "-o", "a.pftrace")
        # Behind what the program itself, or somebody before, has written to that very file.
        for command in (["record", "-o", "/dev/stdout", "--", STORY], ["report", "a.trace", "-o", "/proc/self/fd/1"],
                        ["run", "--input", "a.trace", "--quiet", "--output", "sums", "--record", "/dev/stdout"]):
            with open(self.folder / "mixed", "wb") as mixed:
                mixed.write(b"before")
                mixed.flush()
                self.assert_succeeded(self.run_ufence(*command, env=self.environment, stdout=mixed))
                mixed.write(b"after")
            content = (self.folder / "mixed").read_bytes()
            self.assertTrue(content.startswith(b"before") and content.endswith(b"after"), command)
            self.assertGreater(len(content), 100)
        os.symlink("a.trace", self.folder / "link")
        self.ufence("record", "-o", "link", "--", STORY)
        self.assertEqual(os.readlink(self.folder / "link"), "a.trace")
        self.ufence("record", "-o", "/dev/null", "--", STORY)
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))
        refused = self.ufence("record", "-o", ".", "--", "touch", "started", status=1)
        self.assertIn(b".: Is a directory", refused.stderr)
        self.assertFalse((self.folder / "started").exists())

    def test_a_pipe_gets_what_was_recorded(self):
        os.mkfifo(self.folder / "fifo")
        recorder = self.start_ufence("record", "-o", "fifo", "--", STORY, env=self.environment)
        self.write("a.trace", (self.folder / "fifo").read_bytes())
        recorder.communicate(timeout=support.PATIENCE_S)
        self.assertEqual(recorder.returncode, 0)
        self.assertTrue(stat.S_ISFIFO(os.stat(self.folder / "fifo").st_mode))
        self.ufence("report", "a.trace", "-o", "a.pftrace")

    def test_what_a_killed_program_wrote_is_there(self):
        self.run_ufence("record", "-o", "a.trace", "--", STORY, "kill", env=self.environment)
        self.ufence("report", "a.trace", "-o", "a.pftrace")
        self.assertGreaterEqual(len(self.fences(self.trace("a.pftrace"))), 8)

    def test_a_process_that_runs_is_recorded_until_told_to_end(self):
        self.environment["UFENCE_DEBUG"] = "1"
        program = subprocess.Popen([STORY, "loop"], env=self.environment, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        self.addCleanup(program.communicate)
        self.addCleanup(program.kill)
        self.assertEqual(program.stdout.readline(), b"ready\n")
        recorder = self.start_ufence("record", "-o", "live.pftrace", "--pid", str(program.pid),
                                     env=self.environment)
        self.assertIn(b"Ctrl-C", recorder.stderr.readline())
        refused = self.ufence("record", "--pid", str(program.pid), status=1)
        self.assertIn(b"recorded already", refused.stderr)
        for _ in range(3):
            program.stdin.write(b"\n")
            program.stdin.flush()
            self.assertEqual(program.stdout.readline(), b"done\n")
        recorder.send_signal(signal.SIGINT)
        _, told = recorder.communicate(timeout=support.PATIENCE_S)
        self.assertEqual(recorder.returncode, 0, told)
        self.assertEqual(len(self.fences(self.trace("live.pftrace"))), 3)

    def test_a_process_without_a_socket_can_not_be_recorded(self):
        refused = self.ufence("record", "--pid", str(os.getpid()), status=1)
        self.assertIn(b"no debug socket", refused.stderr)


class Run(Record):
    def test_a_run_that_reloads_has_as_many_signals_as_fences(self):
        for number in range(60):
            self.write(f"tree/{number}", support.pattern(300_000, number))
        finished = self.ufence("run", "--input", "tree", "--reload-every", "5", "--quiet",
                               "--output", "sums", "--record", "run.trace")
        self.assertEqual((self.folder / "sums").read_bytes(), support.expected_sums(self.folder, ["tree"]))
        made = re.search(rb"(\d+) events of 1 processes: (\d+) fences made, ", finished.stderr)
        self.assertTrue(made, finished.stderr)
        events, count, signaled, _ = self.told(self.ufence("report", "run.trace", "-o", "run.pftrace"))
        self.assertEqual((int(made[1]), int(made[2]), count), (events, count, signaled))
        trace = self.trace("run.pftrace")
        self.assertEqual(len(self.fences(trace)), count)
        self.assertEqual(trace.open, [])
        self.assertEqual(len(trace.named("dma_fence_signaled")), count)
        jobs = len(trace.named("drm_sched_job_queue"))
        self.assertGreater(jobs, 0)
        self.assertEqual(len(trace.named("drm_sched_job_done")), jobs)
        loads = trace.named("module_load")
        self.assertEqual(len(loads), len(trace.named("unload step 8")))

    def test_a_reader_process_is_in_the_trace_and_its_fences_lead_to_ours(self):
        for number in range(5):
            self.write(f"tree/{number}", support.pattern(300_000, number))
        self.ufence("run", "--input", "tree", "--via", "sync-file", "--quiet", "--output", "sums",
                    "--record", "via.pftrace")
        trace = self.trace("via.pftrace")
        processes = [t for t in trace.tracks.values() if t.pid is not None and t.tid is None]
        self.assertEqual(len(processes), 2)
        exports, imports = trace.named("sync_file_export"), trace.named("sync_file_import")
        self.assertGreater(len(imports), 0)
        self.assertLessEqual(len(imports), len(exports))


class Ftrace(Record):
    KERNEL = """\
# tracer: nop
          <idle>-0       [003] d.h1. {0}.000000100: dma_fence_emit: driver=amdgpu timeline=gfx context=23 seqno=455
          <idle>-0       [003] d.h1. {0}.000000100: dma_fence_init: driver=amdgpu timeline=gfx context=23 seqno=455
      kworker/u8:2-91    [001] ..... {0}.000001: drm_sched_job_queue: dev=0000:03:00.0, fence=9:5 ring=gfx, job count:1, hw job count:0, client_id:7
      kworker/u8:2-91    [001] ..... {0}.000002: drm_sched_job_add_dep: fence=9:5 depends on fence=23:455
      kworker/u8:2-91    [001] ..... {0}.000003: drm_run_job: entity=00000000deadbeef, id=5, fence=00000000cafe, ring=gfx
            Xorg-1234  (   1234) [000] ..... {0}.000004: dma_fence_wait_start: driver=amdgpu timeline=gfx context=23 seqno=455
          <idle>-0       [003] d.h1. {0}.000005: dma_fence_signaled: driver=amdgpu timeline=gfx context=23 seqno=455
            Xorg-1234  [000] {0}.000006: dma_fence_wait_end: driver=amdgpu timeline=gfx context=23 seqno=455
            Xorg-1234  [000] {0}.000007: sched_switch: something else
"""

    def test_the_kernels_events_are_merged(self):
        now = int(time.clock_gettime(time.CLOCK_MONOTONIC))
        self.write("ftrace.txt", self.KERNEL.format(now).encode())
        finished = self.ufence("record", "-o", "all.pftrace", "--with-ftrace", "ftrace.txt", "--", STORY)
        self.assertIn(b"by its address alone", finished.stderr)
        trace = self.trace("all.pftrace")
        kernel = [s for s in self.fences(trace) if trace.row_of(s.track).name == "fence-gfx-23"]
        self.assertEqual([(s.name, s.keys["driver"]) for s in kernel], [("455", "amdgpu")])
        self.assertEqual(kernel[0].end - kernel[0].begin, 4900)
        queued = [e for e in trace.named("drm_sched_job_queue") if e.keys["fence_context"] == 9]
        self.assertEqual([(e.keys["job_count"], e.keys["client_id"]) for e in queued], [(1, 7)])
        waits = [s for s in trace.slices if s.name == "dma_fence_wait" and s.keys["context"] == 23]
        self.assertEqual([trace.tracks[s.track].name for s in waits], ["Xorg 1234"])

    def test_other_text_is_refused(self):
        self.write("other.txt", b"nothing of it\n")
        finished = self.ufence("record", "-o", "a.pftrace", "--with-ftrace", "other.txt", "--", STORY,
                               status=1)
        self.assertIn(b"no event of dma_fence", finished.stderr)
        self.ufence("record", "-o", "a.trace", "--with-ftrace", "other.txt", "--", STORY, status=2)


class Damage(Record):
    def setUp(self):
        super().setUp()
        self.ufence("record", "-o", "good.trace", "--", STORY)
        self.good = (self.folder / "good.trace").read_bytes()

    def report(self, content, status):
        self.write("bad.trace", content)
        return self.ufence("report", "bad.trace", "-o", "bad.pftrace", status=status)

    def test_a_file_that_is_cut_off_is_read_up_to_there(self):
        told = self.report(self.good[:-HEADER], 0)
        self.assertIn(b"was killed", told.stderr)
        told = self.report(self.good[:-HEADER - 8], 0)
        self.assertIn(b"not complete", told.stderr)

    def test_what_is_damaged_is_refused_with_the_place(self):
        flipped = bytearray(self.good)
        flipped[len(flipped) // 2] ^= 1
        self.assertIn(b"damaged at byte", self.report(bytes(flipped), 1).stderr)
        self.assertIn(b"no recording", self.report(b"something else", 1).stderr)
        self.assertIn(b"too short", self.report(b"uf", 1).stderr)
        self.report(b"", 1)
        version = bytearray(self.good)
        version[4] = 9
        self.assertIn(b"format 9", self.report(bytes(version), 1).stderr)
        self.ufence("report", "no-such-file", "-o", "a.pftrace", status=1)

    def test_recordings_behind_each_other_are_one(self):
        told = self.report(self.good + self.good, 0)
        self.assertIn(b" 2 processes", told.stderr)


if __name__ == "__main__":
    unittest.main()
