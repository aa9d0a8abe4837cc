#!/usr/bin/env python3
"""prints.py [--status N] EXPECTED PROGRAM ARGS...: runs it. Passes if it exits with N (0), and all that it prints
on stdout is the regular expression; with a status, if it is found there."""

import re
import subprocess
import sys

arguments = sys.argv[1:]
status = int(arguments[1]) if arguments[0] == "--status" else 0
fits = re.search if arguments[0] == "--status" else re.fullmatch
expected, *command = arguments[2:] if arguments[0] == "--status" else arguments
ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
if ran.returncode != status or not fits(expected, ran.stdout):
    sys.exit(f"exit status {ran.returncode}, expected {status}; printed:\n{ran.stdout}\nexpected: {expected}")
