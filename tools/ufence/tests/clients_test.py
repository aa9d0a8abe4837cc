"""Several clients share the modules, and the sums do not change."""

import unittest

from support import Case, make_odd_tree, pattern


class Clients(Case):
    def make_trees(self):
        make_odd_tree(self)
        for number in range(300):
            self.write(f"first/{number}", pattern(number * 40, number))
        for number in range(5):
            self.write(f"tree.second/{number}", pattern(65536, number) * 40)
        self.write("alone", b"alone")
        return ["tree", "first", "tree.second", "alone", "tree/sizes"]

    def test_sums_are_those_of_one(self):
        inputs = self.make_trees()
        for options in (["--clients", "2"], ["--clients", "5", "--priority", "high,low,7"],
                        ["--clients", "3", "--block", "1000", "--workers", "3", "--hold"],
                        ["--clients", "4", "--reload-every", "1", "--policy", "cancel"],
                        ["--priority", "low"]):
            with self.subTest(options=options):
                self.assert_sums(inputs, *options)

    def test_each_is_told_what_it_got(self):
        inputs = self.make_trees()
        finished = self.run_ufence("run", "--json", "--quiet", "--clients", "2", "--priority", "4,low",
                                   "--input", *inputs)
        self.assert_succeeded(finished)
        report = self.report(finished)
        clients = report["clients"]
        self.assertEqual([c["priority"] for c in clients], ["4", "low"])
        for name in ("files", "bytes"):
            self.assertEqual(sum(c[name] for c in clients), report[name])
        # The inputs are dealt out in turn: `first` and `alone` are the second client's.
        self.assertEqual(clients[1]["files"], 301)
        self.assertEqual((report["timeouts"], report["resets"]), (0, 0))
        for c in clients:
            self.assertGreaterEqual(c["file_us_p99"], c["file_us_p50"])
            self.assertGreater(c["file_us_p50"], 0)
            self.assertTrue(0 <= c["share"] <= 1, c)

    def test_people_are_told_if_there_are_several(self):
        self.write("a", b"a")
        self.write("b", b"b")
        told = self.run_ufence("run", "--clients", "2", "--input", "a", "b").stderr.decode()
        self.assertRegex(told, r"\nclient 1 \(normal\): 1 files, 1 B, .*\nclient 2 \(normal\): 1 files")
        told = self.run_ufence("run", "--input", "a", "b").stderr.decode()
        self.assertNotIn("client", told)

    def test_what_makes_no_sense_is_refused(self):
        self.write("a", b"a")
        for options in (["--clients", "0"], ["--clients", "2"], ["--clients", "65"],
                        ["--priority", "urgent"], ["--priority", "0"], ["--priority", "1001"],
                        ["--priority", "high,low"], ["--priority", "5x"],
                        ["--clients", "1", "--via", "syncobj"], ["--timeout", "0"]):
            with self.subTest(options=options):
                refused = self.run_ufence("run", "--input", "a", *options)
                self.assertEqual(refused.returncode, 2, refused.stderr)
                self.assertEqual(refused.stdout, b"")


if __name__ == "__main__":
    unittest.main()
