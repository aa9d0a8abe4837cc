#!/usr/bin/env python3
"""`ufence lab check` on whole programs: litmus tests, faults, what the lab does not know, examples.

UFENCE_LAB_CHECK: the program; UFENCE_SOURCE: the source tree; UFENCE_COMPILER: which one to test."""
import html
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

CHECK = os.environ["UFENCE_LAB_CHECK"]
SOURCE = Path(os.environ["UFENCE_SOURCE"])
COMPILER = os.environ["UFENCE_COMPILER"]
PROGRAMS = SOURCE / "lab/check/testing/programs"
LITMUS = SOURCE / "examples/lab/litmus"
EXAMPLES = SOURCE / "examples/lab"


def check(*files, flags="", options=(), **more):
    command = [CHECK, "--compiler", COMPILER, *options]
    if flags:
        command += ["--flags=" + flags]
    return subprocess.run(
        [*command, *map(str, files)], capture_output=True, text=True, timeout=240, check=False, **more
    )


class Check(unittest.TestCase):
    def expect_safe(self, done, how="nothing goes wrong in all"):
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(how, done.stdout)

    def expect_found(self, done, kind):
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertTrue(done.stdout.startswith(kind + ": "), done.stdout)
        self.assertNotIn("not repeated", done.stdout)

    def expect_unknown(self, done, what):
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        self.assertIn(what, done.stderr)


class Litmus(Check):
    ALLOWED = {"sb_relaxed", "sb_acquire", "mp_relaxed", "iriw_acquire", "two_plus_two_w"}

    def test_each_outcome_is_seen_if_it_is_allowed(self):
        tests = sorted(LITMUS.glob("*.cc"))
        self.assertGreaterEqual(len(tests), 15)
        for test in tests:
            with self.subTest(test.stem):
                done = check(test)
                if test.stem in self.ALLOWED:
                    self.expect_found(done, "check failed")
                else:
                    self.expect_safe(done)


class Faults(Check):
    FOUND = {
        "data_race.cc": "data race",
        "use_after_free.cc": "use after free",
        "double_free.c": "double free",
        "leak.cc": "leak",
        "deadlock.cc": "deadlock",
        "livelock.cc": "livelock",
        "lost_wakeup.cc": "lost wakeup",
        "notifies_one_of_two.cc": "lost wakeup",
        "wakes_for_no_reason.cc": "check failed",
        "aborts.c": "check failed",
        "uninitialised.cc": "uninitialised read",
        "uninit_local.c": "uninitialised read",
        "uninit_local_atomic.cc": "uninitialised read",
        "uninit_heap_atomic.c": "uninitialised read",
        "exception_uncaught.cc": "check failed",
        "exit_call.c": "check failed",
        "null.cc": "bad access",
        "unlocks_twice.c": "misuse",
        "destroys_a_locked_mutex.c": "misuse",
        "destroys_what_is_waited_for.c": "misuse",
        "races_in_libraries.cc": "data race",
        "races_without_calls.cc": "data race",
        "races_behind_a_failed_trylock.c": "data race",
        "beyond_a_block.c": "use after free",
        "calls_nothing.c": "bad access",
        "divides_by_zero.c": "check failed",
        "waits_too_short.cc": "check failed",
        "comes_back.cc": "check failed",
        "new_address_comes_back.cc": "check failed",
    }

    def test_each_kind_is_found(self):
        for program, kind in self.FOUND.items():
            with self.subTest(program):
                self.expect_found(check(PROGRAMS / program), kind)

    def test_a_failure_names_objects_and_lines_and_its_trace_repeats_it(self):
        done = check(PROGRAMS / "data_race.cc")
        self.expect_found(done, "data race")
        self.assertIn("shared: ", done.stdout)
        self.assertIn("data_race.cc:4", done.stdout)
        self.assertIn("data_race.cc:5", done.stdout)
        trace = re.search(r"^repeat it: .* --replay (\S+)$", done.stdout, re.MULTILINE)
        self.assertIsNotNone(trace, done.stdout)
        again = check(PROGRAMS / "data_race.cc", options=["--replay", trace[1]])
        self.expect_found(again, "data race")
        self.assertEqual(again.stdout.strip(), done.stdout[: trace.start()].strip())

    def test_what_is_right_is_safe(self):
        self.expect_safe(check(PROGRAMS / "kept.cc"))
        self.expect_safe(check(PROGRAMS / "waits_with_atomics.cc"))
        self.expect_safe(check(PROGRAMS / "notifies_one_of_two.cc", flags="-DALL"))
        self.expect_found(check(PROGRAMS / "waits_with_atomics.cc", flags="-DFORGETS"), "lost wakeup")

    def test_functions_that_compilers_expand_are_seen(self):
        for writes in ('std::strcpy(text,"abcd")', "__builtin_memcpy(text,other,15)"):
            done = check(PROGRAMS / "races_in_libraries.cc", flags="-DWRITES=" + writes)
            self.expect_found(done, "data race")

    def test_a_future_orders_what_comes_before_its_result_alone(self):
        self.expect_found(check(PROGRAMS / "known/future.cc", flags="-DRACES"), "data race")

    def test_a_wait_may_end_early_and_a_loop_by_the_clock(self):
        self.expect_found(check(PROGRAMS / "waits_too_short.cc", flags="-DEARLY"), "check failed")
        self.expect_found(check(PROGRAMS / "polls_too_short.cc", flags="-DASSUMES"), "check failed")
        self.expect_safe(check(PROGRAMS / "polls_too_short.cc"))

    def test_libstdcxx_may_lose_a_wakeup_after_a_store_that_is_not_seq_cst(self):
        self.expect_found(check(PROGRAMS / "waits_with_atomics.cc", flags="-DWEAKER"), "lost wakeup")

    def test_membarrier_orders_what_other_threads_do(self):
        self.expect_safe(check(PROGRAMS / "waits_asymmetrically.cc"))
        self.expect_found(check(PROGRAMS / "waits_asymmetrically.cc", flags="-DFORGETS"), "data race")

    def test_several_processes_visit_the_same_executions(self):
        program = PROGRAMS / "has_many_executions.cc"
        alone, shared = check(program), check(program, options=["--jobs", "3"])
        self.expect_safe(alone)
        self.expect_safe(shared)
        self.assertEqual(re.search(r"all \d+", alone.stdout)[0], re.search(r"all \d+", shared.stdout)[0])
        found = [check(program, flags="-DRARE", options=["--jobs", n]) for n in ("1", "3")]
        for done in found:
            self.expect_found(done, "check failed")

    def test_a_parent_may_ignore_its_children(self):
        self.expect_safe(check(LITMUS / "corr.cc", preexec_fn=lambda: signal.signal(
            signal.SIGCHLD, signal.SIG_IGN)))

    def test_an_interrupted_one_leaves_nothing(self):
        for how in signal.SIGTERM, signal.SIGKILL:
            with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
                [CHECK, "--compiler", COMPILER, "--random", "1000000000", "--seconds", "3600",
                 "--jobs", "2", str(PROGRAMS / "has_many_executions.cc")],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ, TMPDIR=folder)
            ) as process:
                while not list(Path(folder).glob("*/program.so")):
                    self.assertIsNone(process.poll())
                    time.sleep(0.1)
                process.send_signal(how)
                process.stdout.read()  # until all that have it have ended
                while os.listdir(folder):
                    time.sleep(0.1)

    def test_a_failure_is_a_page_too(self):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder, "page.html")
            done = check(PROGRAMS / "data_race.cc", options=["--html", str(page)])
            self.expect_found(done, "data race")
            text = page.read_text()
            self.assertIn("<h1>data race: shared: ", text)
            self.assertIn("data_race.cc:4", text)
            line = (PROGRAMS / "data_race.cc").read_text().splitlines()[3].strip()
            self.assertIn(html.escape(line), text)

    def test_answers_as_json(self):
        done = check(PROGRAMS / "data_race.cc", options=["--json"])
        self.assertEqual(done.returncode, 1, done.stderr)
        told = json.loads(done.stdout)
        self.assertEqual(told["verdict"], "data race")
        self.assertIn("data_race.cc:4", [step["place"] for step in told["steps"]])
        told = json.loads(check(PROGRAMS / "kept.cc", options=["--json"]).stdout)
        self.assertEqual((told["verdict"], told["exhaustive"]), ("safe", True))

    def test_progress_is_for_terminals(self):
        program = PROGRAMS / "has_many_executions.cc"
        self.assertEqual(check(program).stderr, "")
        for options, what in (([], b"executions"), (["--quiet"], b"")):
            master, slave = os.openpty()
            with open(master, "rb", buffering=0) as terminal:
                command = [CHECK, "--compiler", COMPILER, *options, str(program)]
                subprocess.run(command, stdout=subprocess.DEVNULL, stderr=slave, timeout=240, check=True)
                os.write(slave, b"|")
                os.close(slave)
                self.assertIn(what, terminal.read(100_000))

    def test_threads_that_threads_start_and_objects_of_threads(self):
        done = check(PROGRAMS / "uses_everything.cc", options=["--random", "300"])
        self.expect_safe(done, "nothing goes wrong in 300 executions, which are not all")


class Known(Check):
    ENDLESS = {"scoped"}  # not all executions can be visited

    def test_what_is_known_is_explored(self):
        programs = sorted((PROGRAMS / "known").glob("*.c*"))
        self.assertGreaterEqual(len(programs), 25)
        for program in programs:
            with self.subTest(program.stem):
                if program.stem in self.ENDLESS:
                    done = check(program, options=["--seconds", "1"])
                    self.expect_safe(done, "nothing goes wrong in ")
                else:
                    self.expect_safe(check(program))


class Unknown(Check):
    NAMED = {
        "prints_to_a_stream.cc": "uses std::cout, which the lab does not know",
        "opens_a_file.c": "calls open, which the lab does not know",
        "makes_a_system_call.c": "system call 110",
        "has_assembler.c": "has_assembler.c:6 has the instruction incl",
        "has_a_large_frame.c": "needs more than 128 KiB of stack",
        "wakes_by_bits.c": "calls futex() for some of its bits",
        "mixes_sizes.cc": "another atomic object of 8 bytes",
        "uses_sixteen_bytes.cc": "accesses 16 bytes atomically",
        "has_no_main.c": "the program has no main()",
        "does_not_compile.cc": "could not be built",
    }

    def test_what_is_not_known_is_named(self):
        for program, what in self.NAMED.items():
            with self.subTest(program):
                self.expect_unknown(check(PROGRAMS / program), what)

    def test_a_wrong_command_line_is_told(self):
        self.assertEqual(check().returncode, 2)
        self.assertEqual(check("no_such_file.cc").returncode, 2)
        self.assertEqual(check(PROGRAMS / "kept.cc", options=["--random", "0"]).returncode, 2)


class Examples(Check):
    def test_the_first_program_of_the_document_says_what_stands_there(self):
        text = (EXAMPLES / "README.md").read_text()
        code = re.search(r"```cpp\n(.*?)```", text, re.DOTALL)[1]
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder, "flag.cc")
            program.write_text(code)
            done = check(program)
            self.expect_found(done, "data race")
            self.assertIn("    " + done.stdout.splitlines()[0] + "\n", text)
            program.write_text(code.replace("order_relaxed", "order_release"))
            done = check(program)
            self.expect_safe(done)
            self.assertIn("`" + done.stdout.split(";")[0] + "`", text)

    def test_each_structure_is_right_and_wrong_with_a_weaker_order(self):
        examples = sorted(EXAMPLES.glob("*.c*"))
        self.assertGreaterEqual(len(examples), 12)
        for example in examples:
            with self.subTest(example.stem):
                self.expect_safe(check(example))
                weaker = check(example, flags="-DWEAKER")
                self.assertEqual(weaker.returncode, 1, weaker.stdout + weaker.stderr)
                self.assertRegex(
                    weaker.stdout, r"^(data race|use after free|check failed): ", example.stem
                )


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
