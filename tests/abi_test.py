#!/usr/bin/env python3
"""abi_test.py ROOT LIBRARY [--write]: the interfaces in C against their description, abi/ufence.abi.

LIBRARY has the functions of ufence/ufence.h and the types of ufence/driver.h with debug information.
A change that a program or driver which is built already would notice fails, and so does an addition
that is not described yet: --write describes what is there now. Needs abidw and abidiff (Debian's
abigail-tools)."""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(sys.argv[1])
LIBRARY = sys.argv[2]
DESCRIPTION = ROOT / "abi/ufence.abi"
FAILED, INCOMPATIBLE = 3, 8  # bits of abidiff's exit status


def describe(to: pathlib.Path) -> None:
    """Types that no public header defines are left out, and so is what depends on this machine."""
    subprocess.run(["abidw", "--headers-dir", str(ROOT / "abi"), "--drop-private-types",
                    "--exported-interfaces-only", "--no-show-locs", "--no-comp-dir-path",
                    "--no-corpus-path", "--no-elf-needed", "--no-architecture",
                    "--type-id-style", "hash", "--out-file", str(to), LIBRARY], check=True)


def difference(old: pathlib.Path, new: pathlib.Path) -> subprocess.CompletedProcess:
    found = subprocess.run(["abidiff", str(old), str(new)], capture_output=True, text=True, check=False)
    assert found.returncode >= 0 and not found.returncode & FAILED, found.stdout + found.stderr
    return found


class Abi(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.now = pathlib.Path(folder.name) / "now.abi"
        self.changed = pathlib.Path(folder.name) / "changed.abi"
        describe(self.now)

    def test_is_what_is_described(self):
        found = difference(DESCRIPTION, self.now)
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr +
                         "additions: run this test with --write, and say in CHANGELOG.md what changed; "
                         "what is incompatible needs another version of the interface")

    def test_no_type_asks_for_an_alignment(self):
        """abidiff does not compare alignments: findings/abidiff_alignment.sh."""
        types = re.compile(r"\b(?:struct|union)\b[^;{}]*\{[^}]*\}[^;]*;")
        asks = re.compile(r"\b(?:_Alignas|alignas|aligned|packed)\b")
        for header in sorted((ROOT / "abi/ufence").glob("*.h")):
            code = re.sub(r"/\*.*?\*/|//[^\n]*", "", header.read_text(encoding="utf-8"), flags=re.DOTALL)
            found = types.findall(code)
            self.assertTrue(found, header)
            self.assertEqual([t for t in found if asks.search(t)], [])
        self.assertTrue(asks.search(types.findall("struct s { _Alignas(8) int a; };")[0]))

    def changing(self, pattern: str, by: str) -> subprocess.CompletedProcess:
        text, n = re.subn(pattern, by, self.now.read_text(encoding="utf-8"), count=1, flags=re.DOTALL)
        self.assertEqual(n, 1, f"nothing to change: {pattern}")
        self.changed.write_text(text, encoding="utf-8")
        return difference(self.now, self.changed)

    def test_a_function_that_is_gone_is_noticed(self):
        found = self.changing(r" *<elf-symbol name='ufence_fence_put'[^>]*>\n", "")
        found_too = self.changing(
            r" *<function-decl name='ufence_fence_put'.*?</function-decl>\n", "")
        self.assertTrue((found.returncode | found_too.returncode) & INCOMPATIBLE,
                        found.stdout + found_too.stdout)

    def test_an_argument_of_another_type_is_noticed(self):
        seqno = re.search(r"<function-decl name='ufence_fence_create'.*?<parameter type-id='(\w+)'.*?"
                          r"<return type-id='(\w+)'", self.now.read_text(encoding="utf-8"), re.DOTALL)
        found = self.changing(r"(<function-decl name='ufence_fence_create'.*?<parameter type-id=')"
                              + seqno[1], r"\g<1>" + seqno[2])
        self.assertNotEqual(found.returncode, 0, found.stdout)
        self.assertIn("ufence_fence_create", found.stdout)

    def test_a_member_that_moved_is_noticed_in_both_interfaces(self):
        for struct, member in (("ufence_job_request", "opcode"), ("ufence_job", "seqno")):
            offset = re.search(rf"<class-decl name='{struct}'.*?layout-offset-in-bits='(\d+)'>\s*"
                               rf"<var-decl name='{member}'", self.now.read_text(encoding="utf-8"),
                               re.DOTALL)
            self.assertIsNotNone(offset, struct)
            found = self.changing(rf"(<class-decl name='{struct}' (?:(?!</class-decl>).)*?"
                                  rf"layout-offset-in-bits=')\d+('>\s*<var-decl name='{member}')",
                                  r"\g<1>2048\2")
            self.assertNotEqual(found.returncode, 0, struct)
            self.assertIn(member, found.stdout)


if __name__ == "__main__":
    if sys.argv[3:] == ["--write"]:
        describe(DESCRIPTION)
    else:
        unittest.main(argv=sys.argv[:1])
