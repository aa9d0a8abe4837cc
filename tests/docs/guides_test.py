#!/usr/bin/env python3
"""guides_test.py GUIDE...: each program in them has the line that makes a test of it."""

import pathlib
import re
import sys

status = 0
for name in sys.argv[1:]:
    text = pathlib.Path(name).read_text(encoding="utf-8")
    for block in re.finditer(r"^```(cpp|c)\n", text, re.MULTILINE):
        before = text[:block.start()].rstrip("\n").split("\n")[-1]
        if not re.fullmatch(r"<!-- program \w+: .*, (prints|says) .* -->", before):
            print(f"{name}: a program without `<!-- program NAME: ... -->` before it: {before}", file=sys.stderr)
            status = 1
sys.exit(status)
