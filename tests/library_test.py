#!/usr/bin/env python3
"""library_test.py LIBUFENCE.SO MAJOR: what the shared library shows to the world.

Its name carries the major version, it can never be unmapped, it exports what belongs to ufence under a
version node and nothing else, and needs no symbol that its libraries do not provide."""

import pathlib
import re
import subprocess
import sys
import unittest

LIBRARY, MAJOR = sys.argv[1], sys.argv[2]
C_HEADER = pathlib.Path(__file__).resolve().parent.parent / "abi/ufence/ufence.h"


# What belongs to ufence: its functions and data, and the type information of its classes.
OURS = re.compile(r"^(?:(?:vtable|typeinfo|typeinfo name) for )?ufence::|^ufence_")


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def exported() -> list[tuple[str, str, str]]:
    """(type letter, name, version) of each dynamic symbol that is defined."""
    found = []
    for line in run("nm", "-D", "--defined-only", "--demangle", LIBRARY).splitlines():
        match = re.match(r"[0-9a-f]* *(\w) (.*?)(?:@@?([\w.]+))?$", line)
        if match[1] != "A":
            found.append((match[1], match[2], match[3] or ""))
    return found


class Library(unittest.TestCase):
    def test_exports_only_what_is_ours_under_a_version(self):
        symbols = exported()
        self.assertGreater(len(symbols), 10)
        for letter, name, version in symbols:
            self.assertRegex(name, OURS, f"{name} is exported; hide it, or name it in ufence.map")
            self.assertRegex(version, r"^UFENCE_\d+\.\d+$", f"{name} has no version")
            self.assertNotEqual(letter, "u", f"{name} is GNU-unique")

    def test_exports_each_function_of_the_c_interface(self):
        text = re.sub(r"/\*.*?\*/", "", C_HEADER.read_text(encoding="utf-8"), flags=re.DOTALL)
        text = re.sub(r"^static inline .*?^}", "", text, flags=re.DOTALL | re.MULTILINE)
        declared = set(re.findall(r"\b(ufence_\w+)\s*\((?!\*)[^;{]*\);", text))
        self.assertGreater(len(declared), 70)
        self.assertEqual(declared - {name for _, name, _ in exported()}, set())

    def test_needs_no_library_but_those_of_a_program_on_one_host(self):
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-dW", LIBRARY))
        self.assertIn("libc.so.6", needed)
        for name in needed:
            self.assertRegex(name, r"^(lib(urcu-bp|stdc\+\+|gcc_s|m|c)\.so|ld-linux)")

    def test_soname_carries_the_version(self):
        dynamic = run("readelf", "-dW", LIBRARY)
        self.assertIn(f"Library soname: [libufence.so.{MAJOR}]", dynamic)

    def test_is_never_unmapped_and_bound_at_once(self):
        dynamic = run("readelf", "-dW", LIBRARY)
        self.assertRegex(dynamic, r"FLAGS_1\b.*\bNODELETE\b")
        self.assertRegex(dynamic, r"FLAGS_1\b.*\bNOW\b")

    def test_stack_is_not_executable(self):
        self.assertRegex(run("readelf", "-lW", LIBRARY), r"GNU_STACK .* RW ")

    def test_thread_locals_need_no_call(self):
        # initial-exec: no __tls_get_addr, which may allocate.
        self.assertNotIn("__tls_get_addr", run("nm", "-D", "--undefined-only", LIBRARY))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
