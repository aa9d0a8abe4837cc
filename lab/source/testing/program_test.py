#!/usr/bin/env python3
"""`ufence lab kernel` on small trees that the test writes: fences of its own, not the kernel's.

UFENCE_LAB_SOURCE: the program."""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = os.environ["UFENCE_LAB_SOURCE"]


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True,
                          timeout=240, check=False)


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def write(self, name, text):
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def test_a_wrong_one_is_told(self):
        self.assertEqual(run().returncode, 2)
        self.assertEqual(run("--source", self.folder, "R99").returncode, 2)
        self.assertEqual(run("--help").returncode, 0)

    def test_what_is_no_tree_is_told(self):
        done = run("--source", self.folder)
        self.assertEqual(done.returncode, 3)
        self.assertIn("is no kernel tree", done.stderr)

    def test_a_tree_that_needs_what_the_services_have_not_names_it(self):
        self.write("Makefile", "VERSION = 9\nPATCHLEVEL = 1\nSUBLEVEL = 2\n")
        self.write("drivers/dma-buf/dma-fence.c",
                   "#include <linux/new_things.h>\nvoid f(void) { a_new_primitive(); }\n")
        done = run("--source", self.folder, "R1")
        self.assertEqual(done.returncode, 3)
        self.assertIn("a_new_primitive", done.stderr)
        self.assertIn("the fences of linux-9.1.2 could not be built", done.stderr)

    def test_a_patch_that_does_not_fit_is_told(self):
        self.write("drivers/dma-buf/dma-fence.c", "int a;\n")
        self.write("other.patch", "--- a/drivers/dma-buf/dma-fence.c\n"
                                  "+++ b/drivers/dma-buf/dma-fence.c\n@@ -1 +1 @@\n-int b;\n+int c;\n")
        done = run("--source", self.folder, "--patch", self.folder / "other.patch")
        self.assertEqual(done.returncode, 3)
        self.assertIn("does not fit the tree", done.stderr)
        self.assertEqual(run("--source", self.folder, "--patch", "no_such.patch").returncode, 3)


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
