"""Runs model tests with a weaker order."""

import dataclasses
import os
import pathlib
import re
import subprocess

PREFIX = "lab_models_"
SUFFIX = "_model_test"
# Of processor time, for the phases of one search. A test that is named has found it in the shorter ones.
SWEEPS_S = (0.1, 1)
CONFIRMING_S = 4
TIMEOUT_S = 550
OUTCOME = re.compile(r"^\[ +(OK|FAILED) +\] (\S+?),? .*\((\d+) ms\)$", re.MULTILINE)


@dataclasses.dataclass
class Result:
    test: str
    failed: bool
    seconds: float
    was_used: bool = True

    def __str__(self) -> str:
        if self.failed:
            return f"{self.test} ({self.seconds:.1f} s)"
        return f"{self.test} passes{'' if self.was_used else ' and does not come to that line'}"


class Tests:
    def __init__(self, folder: pathlib.Path):
        self._programs = sorted(folder.glob(f"{PREFIX}*{SUFFIX}"))
        if not self._programs:
            raise SystemExit(f"mutate_orders: no {PREFIX}*{SUFFIX} in {folder}; build them first")

    def run(self, name: str, mutant) -> Result | None:
        """One test; None: there is no such test."""
        for program in self._programs:
            for result in self._run(program, name, mutant, CONFIRMING_S):
                return result
        return None

    def sweep(self, mutant, seconds: float) -> Result | None:
        """Some test that fails."""
        path = pathlib.PurePosixPath(mutant.path)

        def distance(program: pathlib.Path) -> int:
            part = program.name.removeprefix(PREFIX).removesuffix(SUFFIX)
            return 0 if part in path.stem else 1 if part in path.parts else 2

        for program in sorted(self._programs, key=distance):
            for result in self._run(program, "*", mutant, seconds):
                if result.failed:
                    return result
        return None

    def _run(self, program: pathlib.Path, which: str, mutant, seconds: float) -> list[Result]:
        env = {**os.environ, "UFENCE_LAB_WEAKEN": mutant.environment, "UFENCE_LAB_SECONDS": str(seconds)}
        done = subprocess.run([program, f"--gtest_filter={which}", "--gtest_fail_fast"], env=env, capture_output=True,
                              text=True, errors="replace", timeout=TIMEOUT_S)
        if "[==========]" not in done.stdout:
            raise SystemExit(f"mutate_orders: {program.name} does not run:\n{done.stderr}")
        results = {test: Result(test, how == "FAILED", int(ms) / 1000, "[  WEAKER  ]" in done.stdout)
                   for how, test, ms in OUTCOME.findall(done.stdout)}
        # What ends the program is found as well.
        if done.returncode < 0 and (begun := re.findall(r"^\[ RUN +\] (\S+)", done.stdout, re.MULTILINE)):
            results[begun[-1]] = Result(begun[-1], True, 0)
        return list(results.values())
