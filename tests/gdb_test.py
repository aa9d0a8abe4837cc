#!/usr/bin/env python3
"""gdb_test.py PROGRAM: what gdb shows of fences with scripts/gdb, in a program that has debug information."""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SKIPPED = 77

SHOWN = {
    "info ufence": r'timeline \d+ "queue" of "gpu": value 1, newest 2\n'
                   r'  awaited: timeline fence \d+:2 of "queue" of "gpu", pending, \d references',
    "print plain": r"fence 700:8, pending",
    "print failed.fence": r"fence 700:9, signaled, (not )?settled, error -5",
    "print first": r'timeline fence \d+:1 of "queue" of "gpu", complete, nobody has looked',
    "print node": r"chain: container or import \d+:6, pending.*contains = fence 700:8, pending"
                  r'.*before = container or import \d+:5.*contains = timeline fence \d+:2 of "queue"',
}


def constants_are_right():
    text = (ROOT / "ufence/fence/state.h").read_text(encoding="utf-8")
    script = (ROOT / "scripts/gdb/libufence-gdb.py").read_text(encoding="utf-8")
    bits = [re.search(rf"\b{name} = 1U << (\d+);", text)[1] for name in ("signaled", "settled")]
    assert f"SIGNALED, SETTLED = 1 << {bits[0]}, 1 << {bits[1]}" in script, bits


def main():
    constants_are_right()
    if shutil.which("gdb") is None:
        print("there is no gdb")
        return SKIPPED
    commands = list(SHOWN)
    words = ["gdb", "-nx", "-batch", "-ex", "set width 0", "-ex",
             f"source {ROOT}/scripts/gdb/libufence-gdb.py", "-ex", "run", "-ex", "up", "-ex", "up",
             "-ex", "frame function main"]
    for command in commands:
        words += ["-ex", command]
    told = subprocess.run([*words, sys.argv[1]], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False, timeout=300).stdout
    if "SIGTRAP" not in told:
        print("gdb may not trace here")
        return SKIPPED
    for command in commands:
        assert re.search(SHOWN[command], told, re.DOTALL), f"{command}:\n{told}"
    return 0


if __name__ == "__main__":
    sys.exit(main())
