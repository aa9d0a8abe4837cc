"""`ufence modules` tells what files are without loading them."""

import json
import os
import pathlib
import subprocess
import unittest

from support import PATIENCE_S, PROGRAM, Case

DRIVERS = pathlib.Path(os.environ["UFENCE_DRIVERS"])
BROKEN = pathlib.Path(os.environ["UFENCE_TEST_DRIVERS"])


class Modules(Case):
    def test_that_can_be_loaded_and_unmapped(self):
        finished = self.run_ufence("modules", DRIVERS / "cpu.so", DRIVERS / "uring.so")
        self.assert_succeeded(finished)
        text = finished.stdout.decode()
        self.assertIn(f"{DRIVERS}/cpu.so\n  driver module, ABI version 1: its file is valid\n", text)
        self.assertEqual(text.count("will unmap: yes"), 2)

    def test_that_are_none_are_told_why(self):
        self.write("text", b"no module\n")
        finished = self.run_ufence("modules", "text", "missing", DRIVERS / "cpu.so")
        self.assert_succeeded(finished, 1)
        text = finished.stdout.decode()
        self.assertRegex(text, r"text\n  not loadable: Exec format error\n  problem: .+\n")
        self.assertRegex(text, r"missing\n  not loadable: No such file or directory\n")
        self.assertIn("cpu.so\n  driver module", text)

    def test_that_would_stay_mapped_are_told_why(self):
        finished = self.run_ufence("modules", BROKEN / "broken_nodelete.so",
                                   BROKEN / "broken_thread_local.so")
        self.assert_succeeded(finished, 1)
        self.assertRegex(finished.stdout.decode(),
                         r"problem: D-14: linked with -z nodelete.*\n  will unmap: no(.|\n)*"
                         r"warning: D-14: has thread_local objects.*\n  will unmap: later")

    def test_are_tried_out_if_asked(self):
        finished = self.run_ufence("modules", "--load", DRIVERS / "cpu.so", DRIVERS / "uring.so")
        self.assert_succeeded(finished)
        text = finished.stdout.decode()
        self.assertIn("loaded: driver cpu, timeline sha256, with cancel\n  unloaded: unmapped\n", text)
        self.assertIn("loaded: driver uring, timeline ", text)
        self.assertRegex(text, r"unloaded: unmapped\n  says of itself: SHA-256 on worker threads\n")
        finished = self.run_ufence("modules", "--load", BROKEN / "broken_missing_op.so",
                                   BROKEN / "broken_init_fails.so", "missing")
        self.assert_succeeded(finished, 1)
        self.assertRegex(finished.stdout.decode(),
                         r"loading failed: .*D-3: (.|\n)*loading failed: .*No such device")
        finished = self.run_ufence("modules", "--load", "--json", BROKEN / "broken_missing_op.so",
                                   DRIVERS / "cpu.so")
        self.assert_succeeded(finished, 1)
        refused, good = json.loads(finished.stdout)
        self.assertFalse(refused["trial"]["loaded"])
        self.assertIn("D-3", refused["trial"]["problem"])
        self.assertEqual(good["trial"], {"loaded": True, "driver": "cpu", "timeline": "sha256",
                                         "description": good["trial"]["description"],
                                         "features": ["cancel"], "interface": "ufence.cpu",
                                         "interface_version": 1,
                                         "options": [{"name": "workers", "value": "1", "description":
                                                      "how many threads take updates, 1 to 256"}],
                                         "unload_state": "unmapped", "pins": [], "kept": []})
        told = self.run_ufence("modules", "--load", DRIVERS / "cpu.so").stdout.decode()
        self.assertIn("  interface: ufence.cpu 1\n  option workers=1: how many threads take updates", told)

    def test_are_said_to_unmap_only_if_they_are_loaded(self):
        fates = {}
        for path in sorted(BROKEN.glob("broken_*.so")):
            finished = self.run_ufence("modules", "--json", path)
            loaded = self.run_ufence("modules", "--json", "--load", path)
            text = self.run_ufence("modules", "--load", path).stdout.decode()
            self.assertEqual(finished.stderr, b"")
            before, after = json.loads(finished.stdout)[0], json.loads(loaded.stdout)[0]
            trial = after.get("trial", {"loaded": False})
            with self.subTest(path.name):
                if trial["loaded"]:
                    self.assertIn(after["unmaps"], ("immediate", "deferred"))
                    self.assertEqual(before["unmaps"], after["unmaps"])
                    self.assertTrue(trial["unload_state"] == "unmapped" or trial["pins"]
                                    or after["unmaps"] == "deferred")
                else:
                    self.assertIn(after["unmaps"], ("never", "not loaded"))
                    self.assertNotRegex(text, "will unmap: (yes|later)")
                    # What its file alone does not tell is not held against it.
                    self.assertEqual(before["unmaps"] in ("never", "not loaded"), not before["valid"])
            fates[after["unmaps"]] = fates.get(after["unmaps"], 0) + 1
        # Each kind was met, and most are refused.
        self.assertGreaterEqual(set(fates), {"immediate", "never", "not loaded"})
        self.assertGreater(fates["not loaded"], 10)

    def test_that_cannot_be_told_are_a_failure(self):
        with open("/dev/full", "wb") as full:
            for options in ([], ["--json"]):
                finished = subprocess.run([PROGRAM, "modules", *options, DRIVERS / "cpu.so"],
                                          stdout=full, stderr=subprocess.PIPE, check=False,
                                          timeout=PATIENCE_S)
                self.assertEqual(finished.returncode, 1)
                self.assertEqual(finished.stderr.decode(),
                                 "ufence: standard output: No space left on device\n")

    def test_as_json(self):
        self.write(b"\xff\n", b"no module\n")
        finished = self.run_ufence("modules", "--json", DRIVERS / "cpu.so", b"\xff\n")
        self.assert_succeeded(finished, 1)
        good, bad = json.loads(finished.stdout)
        self.assertEqual(list(good), ["path", "valid", "error", "problems", "warnings", "abi_version",
                                      "unmaps", "soname", "build_id", "needed", "libraries",
                                      "static_tls_size", "file_size",
                                      "memory_size"])
        self.assertEqual((good["valid"], good["abi_version"], good["unmaps"]), (True, 1, "immediate"))
        self.assertEqual(good["file_size"], (DRIVERS / "cpu.so").stat().st_size)
        self.assertTrue(any(library.startswith("libcrypto") for library in good["needed"]))
        self.assertEqual((bad["valid"], bad["abi_version"]), (False, 0))
        self.assertNotEqual(bad["problems"], [])


if __name__ == "__main__":
    unittest.main()
