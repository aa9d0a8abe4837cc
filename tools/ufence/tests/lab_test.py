"""`ufence lab` hands its command line to the program beside it, and has its exit status."""

import os
import pathlib
import shutil
import unittest

import support
from support import Case

HAS_LAB = os.environ["UFENCE_HAS_LAB"] == "1"


class Lab(Case):
    def test_is_the_program_beside_it(self):
        if not HAS_LAB:  # under sanitizers
            return self.assert_succeeded(self.run_ufence("lab", "list"), 3)
        finished = self.run_ufence("lab", "Q12", "--design", "ufence")
        self.assert_succeeded(finished)
        self.assertIn("Q12 one winner, ufence: safe\n", finished.stdout.decode())
        finished = self.run_ufence("lab", "R9", "--json", "--design", "kernel-7.0")
        self.assert_succeeded(finished, 1)
        self.assertIn('"verdict": "data-race"', finished.stdout.decode())
        self.assertIn("Usage: ufence lab", self.run_ufence("lab", "--help").stdout.decode())
        self.assert_succeeded(self.run_ufence("lab", "--wrong"), 2)

    @unittest.skipUnless(HAS_LAB, "under sanitizers")
    def test_checks_programs_in_another_one(self):
        program = self.folder / "race.cc"
        program.write_text("#include <thread>\nint x;\n"
                           "int main() { std::thread t([] { x = 1; }); x = 2; t.join(); }\n")
        finished = self.run_ufence("lab", "check", str(program))
        self.assert_succeeded(finished, 1)
        self.assertIn("data race: x: ", finished.stdout.decode())
        self.assertIn("Usage: ufence lab check",
                      self.run_ufence("lab", "check", "--help").stdout.decode())
        self.assert_succeeded(self.run_ufence("lab", "check"), 2)

    @unittest.skipUnless(HAS_LAB, "under sanitizers")
    def test_explores_kernel_trees_in_a_third(self):
        self.assertIn("Usage: ufence lab kernel",
                      self.run_ufence("lab", "kernel", "--help").stdout.decode())
        finished = self.run_ufence("lab", "kernel", "--source", str(self.folder))
        self.assert_succeeded(finished, 3)
        self.assertIn("is no kernel tree", finished.stderr.decode())

    def test_is_missed_in_words(self):
        alone = self.folder / "ufence"
        shutil.copy(support.PROGRAM, alone)
        environment = {**os.environ,
                       "LD_LIBRARY_PATH": str(pathlib.Path(support.PROGRAM).parents[1] / "lib")}
        self.addCleanup(setattr, support, "PROGRAM", support.PROGRAM)
        support.PROGRAM = str(alone)
        finished = self.run_ufence("lab", "list", env=environment)
        self.assert_succeeded(finished, 3)
        self.assertRegex(finished.stderr.decode(),
                         r"^ufence: cannot run .*/ufence-lab: No such file or directory; build ")


if __name__ == "__main__":
    unittest.main()
