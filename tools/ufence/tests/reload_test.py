"""Modules come and go under a run, and its result does not change."""

import os
import unittest

from support import Case, expected_sums, make_odd_tree, pattern


class Reload(Case):
    def make_work(self):
        make_odd_tree(self)
        for number in range(6):
            self.write(f"tree/large/{number}", pattern(65536, number) * 160)
        for number in range(400):
            self.write(f"tree/small/{number}", pattern(number * 50, number))
        return expected_sums(self.folder, ["tree"])

    def run_reloading(self, expected, *options):
        finished = self.run_ufence("run", "--input", "tree", "--output", "sums", "--json", "--quiet",
                                   "--reload-every", "1", *options)
        self.assertEqual(finished.stderr, b"")
        self.assert_succeeded(finished)
        self.assertEqual((self.folder / "sums").read_bytes(), expected)
        report = self.report(finished)
        self.assertEqual(report["files"], expected.count(b"\n"))
        self.assertEqual(report["module_loads"], report["module_unloads"])
        self.assertGreater(report["module_loads"], 2)
        self.assertEqual(report["unloads_unmapped"], report["module_unloads"])
        self.assertGreater(report["unload_us_p50"], 0)
        self.assertGreaterEqual(report["unload_us_p99"], report["unload_us_p50"])
        return report

    def test_drains_and_holds(self):
        report = self.run_reloading(self.make_work(), "--hold", "--block", "16k")
        self.assertEqual(report["fences_held_at_exit"], report["fences_issued"])
        self.assertEqual(report["fences_outliving_issuer"], report["fences_issued"])
        self.assertLessEqual(report["fences_armed"], report["fences_issued"])
        self.assertGreater(report["fences_armed"], 0)

    def test_drains(self):
        report = self.run_reloading(self.make_work(), "--policy", "drain", "--workers", "3")
        self.assertEqual(report["fences_held_at_exit"], 0)
        self.assertLess(report["fences_outliving_issuer"], report["fences_issued"])

    def test_cancels_and_submits_again(self):
        expected = self.make_work()
        resubmitted = 0
        for options in (["--hold"], ["--hold", "--block", "4096"], ["--workers", "2"]):
            report = self.run_reloading(expected, "--policy", "cancel", *options)
            resubmitted += report["resubmitted"]
            # Nothing was done twice: every block of the work is in a job that succeeded once.
            self.assertEqual(report["bytes"], self.total_bytes())
        self.assertGreater(resubmitted, 0)

    def total_bytes(self):
        return sum(os.lstat(os.path.join(top, name)).st_size
                   for top, _, names in os.walk(os.fsencode(self.folder / "tree"))
                   for name in names
                   if os.path.isfile(os.path.join(top, name))
                   and not os.path.islink(os.path.join(top, name)))

    def test_each_fence_retires_once(self):
        report = self.run_reloading(self.make_work(), "--hold")
        configurations = report["module_loads"] // 2  # `cpu` gets its workers at each load
        self.assertEqual(report["retired_by_settlement"] + report["retired_by_last_op"],
                         report["fences_issued"] + configurations)


class Hold(Case):
    def test_keeps_every_fence_until_its_module_is_gone(self):
        make_odd_tree(self)
        finished = self.run_ufence("run", "--input", "tree", "--hold", "--json", "--quiet")
        self.assert_succeeded(finished)
        self.assertEqual(finished.stderr, b"")
        report = self.report(finished)
        self.assertEqual((report["module_loads"], report["module_unloads"]), (2, 2))
        self.assertEqual(report["unloads_unmapped"], 2)
        self.assertGreaterEqual(report["fences_issued"], 2 * report["files"])
        self.assertEqual(report["fences_held_at_exit"], report["fences_issued"])
        self.assertEqual(report["fences_outliving_issuer"], report["fences_issued"])
        self.assertEqual(report["resubmitted"], 0)

    def test_is_told_to_people(self):
        self.write("x", b"x")
        finished = self.run_ufence("run", "--input", "x", "--hold")
        self.assert_succeeded(finished)
        self.assertRegex(finished.stderr.decode(),
                         r"^1 files, 1 B in .*; 0 skipped, 0 errors\n"
                         r"2 fences, .* 2 held to the end, 2 outlived their module\n"
                         r"2 module loads, 2 unloads \(2 unmapped, 0 deferred, 0 pinned\)")


if __name__ == "__main__":
    unittest.main()
