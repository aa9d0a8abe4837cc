#!/usr/bin/env python3
"""Tests of scripts/mutate_orders.py: over a small tree, with a test program that notices some lines."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent

SOURCE = """\
void publish() {
  // [SLOT.1] release: the data; pairs with [SLOT.2]
  slot.store(1, mo::release);
}
int look() {
  // [SLOT.2] acquire: see the data; pairs with [SLOT.1]
  return slot.load(mo::acquire);
}
void drop() {
  // [SLOT.3] acq_rel: the last one frees; pairs with [SLOT.3]
  if (count.fetch_sub(1, mo::acq_rel) ==
      1) {
    free();
  }
}
"""

# Fails if an order on one of the lines is weaker, as a model test does.
PROGRAM = """\
#!{python}
import os, sys
name = "slot_model.keeps_its_promise"
wanted = [a.split("=")[1] for a in sys.argv if a.startswith("--gtest_filter=")][0]
place = os.environ["UFENCE_LAB_WEAKEN"]
file, lines, order = place.rsplit(":", 2)
seen = any(place == f"ufence/fence/slot.cc:{{known}}" for known in {noticed!r})
print("[==========] Running tests.")
if wanted in ("*", name):
    print(f"[ RUN      ] {{name}}")
    print("[  WEAKER  ] the weaker order was used")
    print(f"[  {{'FAILED  ' if seen else '     OK '}}] {{name}} (3 ms)")
    sys.exit(1 if seen else 0)
"""
ALL = ["3-3:relaxed", "7-7:relaxed", "11-12:relaxed", "11-12:acquire", "11-12:release"]
NAMED = """\
SLOT.1 relaxed slot_model.keeps_its_promise
SLOT.2 relaxed slot_model.keeps_its_promise
SLOT.3 relaxed slot_model.keeps_its_promise
SLOT.3 acquire slot_model.keeps_its_promise
SLOT.3 release slot_model.keeps_its_promise
"""


class MutateCase(unittest.TestCase):
    def mutate(self, noticed: list[str], named: str, *arguments: str) -> tuple[int, str, str]:
        """The exit status, the output, and the table afterwards."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            table = root / "scripts" / "order_tests.txt"
            program = root / "bin" / "lab_models_slot_model_test"
            for path, text in {
                    root / "scripts" / "layers.txt": "base:\nfence: base\n",
                    root / "scripts" / "public_headers.txt": "",
                    root / "ufence" / "fence" / "slot.cc": SOURCE,
                    table: named,
                    program: PROGRAM.format(python=sys.executable, noticed=noticed)}.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            program.chmod(0o755)
            done = subprocess.run([sys.executable, HERE / "mutate_orders.py", "--root", root, *arguments,
                                   program.parent], capture_output=True, text=True, check=False)
            return done.returncode, done.stdout + done.stderr, table.read_text()

    def test_every_half_of_every_order_is_tried_and_caught(self):
        status, text, _ = self.mutate(ALL, NAMED)
        self.assertEqual(status, 0, text)
        self.assertIn("5 weaker orders, 0 survive", text)

    def test_an_order_that_no_test_notices_survives(self):
        status, text, _ = self.mutate(ALL[:-1], NAMED)
        self.assertEqual(status, 1)
        self.assertIn("SURVIVES  [SLOT.3] -> release", text)
        self.assertIn("1 survive", text)

    def test_an_order_without_a_named_test_survives(self):
        status, text, _ = self.mutate(ALL, NAMED.replace("SLOT.2 relaxed", "# SLOT.2 relaxed"))
        self.assertEqual(status, 1)
        self.assertIn("SURVIVES  [SLOT.2] -> relaxed (ufence/fence/slot.cc:7)  no test is named", text)

    def test_a_test_that_does_not_exist_catches_nothing(self):
        status, text, _ = self.mutate(ALL, NAMED.replace("promise\nSLOT.2", "word\nSLOT.2"))
        self.assertEqual(status, 1)
        self.assertIn("there is no test slot_model.keeps_its_word", text)

    def test_a_line_for_an_order_that_is_gone_is_stale(self):
        status, text, _ = self.mutate(ALL, NAMED + "SLOT.4 relaxed slot_model.keeps_its_promise\n")
        self.assertEqual(status, 1)
        self.assertIn("STALE  SLOT.4 relaxed", text)

    def test_a_reason_stands_for_a_test(self):
        named = NAMED.replace("SLOT.1 relaxed slot_model.keeps_its_promise",
                              "SLOT.1 relaxed - shows on real devices only")
        status, text, _ = self.mutate(ALL[1:], named)
        self.assertEqual(status, 0, text)
        self.assertIn("shows on real devices only", text)

    def test_a_search_names_the_test(self):
        status, text, table = self.mutate(ALL, NAMED.replace("SLOT.2 relaxed", "# SLOT.2 relaxed"),
                                          "--search")
        self.assertEqual(status, 0, text)
        self.assertIn("SLOT.2 relaxed slot_model.keeps_its_promise\n", table)

    def test_a_search_tells_what_it_can_not_find(self):
        status, text, table = self.mutate(ALL[1:], "", "--search")
        self.assertEqual(status, 1)
        self.assertIn("SURVIVES  [SLOT.1] -> relaxed", text)
        self.assertNotIn("SLOT.1 relaxed", table)


if __name__ == "__main__":
    unittest.main()
