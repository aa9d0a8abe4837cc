"""compare_test.py COMPARE BUILD: bench/compare takes turns, tells medians of ratios, and what it can't measure."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

# Stands for ufence-bench: takes the next of its times at each run, and notes the run in a log.
FAKE = """#!/usr/bin/env python3
import json, pathlib, sys
home = pathlib.Path(__file__).resolve().parent.parent
benchmarks = json.loads((home / "benchmarks").read_text())
if "--list" in sys.argv:
    print("\\n".join(benchmarks))
    sys.exit(0)
wanted = sys.argv[sys.argv.index("--filter") + 1]
with open(home.parent / "log", "a+") as log:
    log.write(f"{home.name} {wanted}\\n")
    log.seek(0)
    run = log.read().splitlines().count(f"{home.name} {wanted}") - 1
for name, times in benchmarks.items():
    if wanted in name and times == "fails":
        sys.exit("ufence-bench: no such thing")
    if wanted in name and times == "skips":
        print(json.dumps({"name": name, "skipped": "takes two CPUs"}))
    elif wanted in name:
        print(json.dumps({"name": name, "ns": times[run % len(times)]}))
"""


def fake_build(folder: pathlib.Path, benchmarks: dict) -> pathlib.Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "lib").mkdir()
    (folder / "benchmarks").write_text(json.dumps(benchmarks))
    program = folder / "bin/ufence-bench"
    program.write_text(FAKE)
    program.chmod(0o755)
    return folder


def compare(script: str, *arguments, status: int = 0) -> list[dict]:
    run = subprocess.run([sys.executable, "-B", script, "--json", *map(str, arguments)],
                         stdout=subprocess.PIPE, text=True, check=False)
    assert run.returncode == status, (run.returncode, status, run.stdout)
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_ratios(script: str, folder: pathlib.Path) -> None:
    # The median of 1/2, 3/2 and 1/4; the ratio of the medians would be 3/8.
    old = fake_build(folder / "old", {"walk": [10, 2, 8], "walk_far": [7], "gone": [1]})
    new = fake_build(folder / "new", {"walk": [5, 3, 2], "walk_far": [14], "bad": "fails"})
    walk, far, bad, gone = compare(script, old, new, "--rounds", 3, status=1)
    assert (walk["name"], walk["ratio"], walk["old_ns"], walk["new_ns"]) == ("walk", 0.5, 8, 3), walk
    assert (walk["ratio_low"], walk["ratio_high"]) == (0.375, 1.0), walk
    assert (walk["rounds"], walk["old_program"]) == (3, "old"), walk
    # The filter of ufence-bench finds `walk_far` for `walk` as well: each has its own times.
    assert (far["name"], far["ratio"]) == ("walk_far", 2.0), far
    # The fake has no library that the new program could run over.
    assert bad["name"] == "bad" and "not_measured" in bad, bad
    assert gone["name"] == "gone" and "no such benchmark" in gone["not_measured"], gone
    turns = [line.split()[0] for line in (folder / "log").read_text().splitlines()
             if line.endswith(" walk")]
    assert turns == ["old", "new", "new", "old", "old", "new"], turns


def test_reasons(script: str, folder: pathlib.Path) -> None:
    old = fake_build(folder / "old", {"fails": [1], "skips": [1], "runs": [1]})
    new = fake_build(folder / "new", {"fails": "fails", "skips": "skips", "runs": [1]})
    fails, skips, runs = compare(script, old, new, "--rounds", 2, status=1)
    assert "no such thing" in fails["not_measured"], fails
    assert "takes two CPUs" in skips["not_measured"], skips
    assert runs["ratio"] == 1.0, runs
    assert compare(script, old, new, "--rounds", 2, "--filter", "run")[0]["name"] == "runs"
    for bad in (["--filter", "none"], ["--rounds", "1"], ["--pairs", "3"], ["argument"]):
        assert compare(script, old, new, *bad, status=2) == [], bad
    assert compare(script, folder / "nowhere", new, status=2) == []


def test_old_library(script: str, folder: pathlib.Path, build: pathlib.Path) -> None:
    """A build that lacks a benchmark, and has the library of the real one."""
    old = fake_build(folder / "old", {"some_other": [1]})
    os.rmdir(old / "lib")
    os.symlink(build / "lib", old / "lib")
    mixed, = compare(script, old, build, "--quick", "--rounds", 2, "--filter", "is_signaled_or")
    assert (mixed["name"], mixed["old_program"]) == ("is_signaled_or_lock", "new"), mixed
    assert 0 < mixed["ratio"] < float("inf"), mixed


def test_real(script: str, build: pathlib.Path) -> None:
    result, = compare(script, build, build, "--quick", "--rounds", 2, "--filter", "add_64_callbacks")
    assert (result["name"], result["old_program"]) == ("add_64_callbacks", "old"), result
    assert 0 < result["ratio"] < float("inf"), result


def main() -> None:
    script, build = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    test_real(script, build)
    with tempfile.TemporaryDirectory(prefix="ufence-bench-") as name:
        folder = pathlib.Path(name)
        test_ratios(script, folder / "ratios")
        test_reasons(script, folder / "reasons")
        test_old_library(script, folder / "library", build)


if __name__ == "__main__":
    main()
