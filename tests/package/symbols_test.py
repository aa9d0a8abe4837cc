#!/usr/bin/env python3
"""symbols_test.py ROOT LIBRARY: debian/libufence0.symbols names each C function that the library exports, and
no other."""

import pathlib
import re
import subprocess
import sys

root, library = sys.argv[1:3]
listed = set(re.findall(r"^ (ufence_\w+)@", (pathlib.Path(root) / "debian/libufence0.symbols").read_text(
    encoding="utf-8"), re.MULTILINE))
table = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
exported = set(re.findall(r" (ufence_\w+)@", table))
assert len(exported) > 200, exported
if exported != listed:
    sys.exit(f"debian/libufence0.symbols: not listed: {sorted(exported - listed)}; not exported: "
             f"{sorted(listed - exported)}")
