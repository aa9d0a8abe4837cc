"""smoke_test.py PROGRAM: each benchmark runs and prints a JSON line that makes sense. No times."""

import json
import math
import subprocess
import sys

NUMBERS = ("ns", "ns_min", "baseline_ns", "baseline_ns_min", "ratio", "pairs", "operations")


def check(result: dict) -> None:
    for key in ("name", "what", "baseline"):
        assert isinstance(result[key], str) and result[key], (key, result)
    assert result.get("target", 1) > 0 and ("target" in result) == ("reached" in result) or (
        "skipped" in result), result
    if "skipped" in result:
        assert isinstance(result["skipped"], str) and result["skipped"], result
        return
    for key in NUMBERS:
        assert math.isfinite(result[key]) and result[key] > 0, (key, result)
    assert isinstance(result.get("reached", False), bool), result


def main() -> None:
    program = sys.argv[1]
    names = subprocess.run([program, "--list"], check=True, capture_output=True,
                           text=True).stdout.split()
    assert names, "no benchmarks"
    run = subprocess.run([program, "--quick", "--json"], check=True, stdout=subprocess.PIPE,
                         text=True)
    results = [json.loads(line) for line in run.stdout.splitlines()]
    for result in results:
        check(result)
    assert [result["name"] for result in results] == names, (names, results)
    one = subprocess.run([program, "--quick", "--json", "--filter", names[0]], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    assert json.loads(one.splitlines()[0])["name"] == names[0], one
    for bad in (["--pairs", "3"], ["--filter", "no such benchmark"], ["--cpu", "x"], ["argument"]):
        code = subprocess.run([program, *bad], stderr=subprocess.DEVNULL, check=False).returncode
        assert code == 2, (bad, code)


if __name__ == "__main__":
    main()
