"""`ufence modules` tells what files are without loading them."""

import json
import os
import pathlib
import unittest

from support import Case

DRIVERS = pathlib.Path(os.environ["UFENCE_DRIVERS"])


class Modules(Case):
    def test_that_can_be_loaded_and_unmapped(self):
        finished = self.run_ufence("modules", DRIVERS / "cpu.so", DRIVERS / "uring.so")
        self.assert_succeeded(finished)
        text = finished.stdout.decode()
        self.assertIn(f"{DRIVERS}/cpu.so\n  driver module, ABI version 1: valid\n", text)
        self.assertEqual(text.count("will unmap: yes"), 2)

    def test_that_are_none_are_told_why(self):
        self.write("text", b"no module\n")
        finished = self.run_ufence("modules", "text", "missing", DRIVERS / "cpu.so")
        self.assert_succeeded(finished, 1)
        text = finished.stdout.decode()
        self.assertRegex(text, r"text\n  not loadable: Exec format error\n  problem: .+\n")
        self.assertRegex(text, r"missing\n  not loadable: No such file or directory\n")
        self.assertIn("cpu.so\n  driver module", text)

    def test_as_json(self):
        self.write(b"\xff\n", b"no module\n")
        finished = self.run_ufence("modules", "--json", DRIVERS / "cpu.so", b"\xff\n")
        self.assert_succeeded(finished, 1)
        good, bad = json.loads(finished.stdout)
        self.assertEqual(list(good), ["path", "valid", "error", "problems", "warnings", "abi_version",
                                      "unmaps", "soname", "build_id", "needed", "file_size",
                                      "memory_size"])
        self.assertEqual((good["valid"], good["abi_version"], good["unmaps"]), (True, 1, "immediate"))
        self.assertEqual(good["file_size"], (DRIVERS / "cpu.so").stat().st_size)
        self.assertTrue(any(library.startswith("libcrypto") for library in good["needed"]))
        self.assertEqual((bad["valid"], bad["abi_version"]), (False, 0))
        self.assertNotEqual(bad["problems"], [])


if __name__ == "__main__":
    unittest.main()
