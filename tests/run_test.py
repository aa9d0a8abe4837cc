#!/usr/bin/env python3
"""Runs a copy of ./run in a scratch tree, with stand-ins for cmake and for the program it builds."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

RUN = pathlib.Path(__file__).resolve().parent.parent / "run"

# Configuring writes build.ninja, building writes the program; both say what they were asked.
CMAKE = """echo "cmake $*" >>"$CALLS"
case "$1" in
  --preset) mkdir -p build/release && : >build/release/build.ninja ;;
  --build) [ -z "$BROKEN_BUILD" ] || exit 1
           mkdir -p "$2/bin" && cp "$PROGRAM" "$2/bin/ufence" ;;
esac
"""
PROGRAM = """#!/bin/bash
echo "ufence $*" >>"$CALLS"
[ -z "$STATUS" ] || exit "$STATUS"
while [ $# != 0 ]; do
  case $1 in --input) input=$2 ;; --output) output=$2 ;; esac
  shift
done
[ -n "$output" ] || { echo "hello from $PWD"; exit 0; }
find "$input" -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum -- | $FILTER >"$output"
"""


class Run(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.root = self.folder / "a tree"
        (self.root / "scripts").mkdir(parents=True)
        shutil.copy(RUN, self.root / "run")
        self.script(self.root / "scripts" / "setup", 'echo "setup $*" >>"$CALLS"\n')
        self.script(self.folder / "bin" / "cmake", CMAKE)
        self.program = self.folder / "program"
        self.script(self.program, PROGRAM)
        self.calls = self.folder / "calls"

    def script(self, path: pathlib.Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if text.startswith("#!") else "#!/bin/bash\n" + text)
        path.chmod(0o755)

    def run_it(self, *arguments, filter="cat", **environment):
        done = subprocess.run(
            [str(self.root / "run"), *arguments], cwd=self.folder, capture_output=True, text=True,
            env={**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
                 "CALLS": str(self.calls), "PROGRAM": str(self.program), "FILTER": filter,
                 **environment})
        return done, self.calls.read_text().splitlines()

    def test_builds_then_runs_with_the_arguments(self):
        done, calls = self.run_it("--input", "x y")
        self.assertEqual((done.returncode, done.stdout), (0, f"hello from {self.folder}\n"))
        self.assertEqual(calls[0], "setup run")
        self.assertIn("--preset release -DUFENCE_BUILD_TESTS=OFF", calls[1])
        self.assertIn("--build", calls[2])
        self.assertEqual(calls[3], "ufence run --input x y")

    def test_configures_once(self):
        self.run_it("--quiet")
        _, calls = self.run_it("--quiet")
        self.assertEqual(sum("--preset" in c for c in calls), 1)

    def test_exit_status_passes_through(self):
        for status in (1, 2, 130):
            self.assertEqual(self.run_it("--input", "x", STATUS=str(status))[0].returncode, status)
        self.assertEqual(self.run_it(STATUS="3")[0].returncode, 3)

    def test_bare_compares_with_sha256sum(self):
        done, calls = self.run_it()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^run: the \d+ sums are equal to sha256sum's, byte for byte\n$")
        self.assertRegex(calls[-1], "--reload-every 50 --hold$")
        self.assertEqual(sorted(p.name for p in (self.root / "build").glob("run*")), ["run.sha256"])

    def test_bare_says_what_differs(self):
        done, _ = self.run_it(filter="sed 1d")
        self.assertEqual(done.returncode, 1)
        self.assertIn("DIFFERENT from sha256sum", done.stderr)
        self.assertNotIn("equal", done.stdout)

    def test_broken_build(self):
        done, calls = self.run_it("--input", "x", BROKEN_BUILD="yes")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot build", done.stderr)
        self.assertFalse(any(c.startswith("ufence") for c in calls))


if __name__ == "__main__":
    unittest.main()
