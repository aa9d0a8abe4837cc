#!/usr/bin/env python3
"""Every cell of kernel trees against the model of the same kernel.

UFENCE_LAB_SOURCE: the program; UFENCE_KERNEL_SOURCES: a folder of trees, as `scripts/setup lab-kernels`
makes it:

    UFENCE_KERNEL_SOURCES=$PWD/build/kernel-sources ctest --test-dir build/release -L kernel-source

Without trees it is skipped (exit code 77)."""
import difflib
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = os.environ["UFENCE_LAB_SOURCE"]
FOLDER = os.environ.get("UFENCE_KERNEL_SOURCES")
FENCE = "drivers/dma-buf/dma-fence.c"
TREES = sorted(t for t in Path(FOLDER or "/nonexistent").glob("*") if (t / FENCE).exists())
SKIPPED = 77

# Where the source is not what the model says of it. Both: plain data that others look at, which the model has
# as relaxed atomics; the kernel relies on machines that do not tear words (docs/KERNEL_SOURCE.md).
DIFFERS = {"Q3": "data-race", "R21": "data-race"}
# Of containers outside of drivers/dma-buf.
MISSING = {"R18"}


def model_of(tree):
    """By its text: whether ops are detached, and what the accessors of names look at."""
    header = (tree / "include/linux/dma-fence.h").read_text()
    if not re.search(r"dma_fence_ops __rcu \*ops", header):
        return "kernel-7.0"
    return "kernel-7.1-fixed" if NAMES_LOOK_AT_OPS.search(text_of(tree)) else "kernel-7.1"


NAMES_LOOK_AT_OPS = re.compile(r"(if \(!dma_fence_test_signaled_flag\(fence\)) && ops\)")


def text_of(tree):
    return (tree / FENCE).read_text()


def run(*arguments, status=None):
    done = subprocess.run([PROGRAM, "--quiet", "--seconds", "20", *map(str, arguments)],
                          capture_output=True, text=True, timeout=800, check=False)
    if status is not None and done.returncode != status:
        raise AssertionError(f"status {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def cells(*arguments):
    return {(c["hazard"], c["design"]): c for c in json.loads(run(*arguments, "--json"))}


class Trees(unittest.TestCase):
    def test_each_cell_is_the_model_s_or_its_difference_is_known(self):
        for tree in TREES:
            model = model_of(tree)
            found = cells("--source", tree, "--design", model)
            name = next(d for _, d in found if d != model)
            for hazard, design in found:
                if design != name or hazard in MISSING:
                    continue
                with self.subTest(tree=tree.name, hazard=hazard):
                    cell = found[hazard, name]
                    expected = DIFFERS.get(hazard, found[hazard, model]["verdict"])
                    self.assertEqual(cell["verdict"], expected)
                    self.assertTrue(cell["verdict"] != "safe" or cell["exhaustive"])

    def test_names_that_look_at_the_flag_alone_are_called_through_null(self):
        """7.1, from a tree that has the fix, without it."""
        tree = next((t for t in TREES if model_of(t) == "kernel-7.1-fixed"), None)
        if tree is None:
            self.skipTest("no tree with detached ops")
        before = text_of(tree)
        after = NAMES_LOOK_AT_OPS.sub(r"\1)", before)
        patch = difflib.unified_diff(before.splitlines(True), after.splitlines(True),
                                     "a/" + FENCE, "b/" + FENCE)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "unfixed.patch")
            file.write_text("".join(patch))
            shown = run("--source", tree, "--patch", file, "--no-models", "R1", status=1)
            self.assertIn("null-call", shown)
            line = next(n for n, l in enumerate(after.splitlines(), 1)
                        if "ops->get_driver_name(fence)" in l)
            self.assertRegex(shown, rf"T\d at dma-fence\.c:{line} reads through a null pointer")
            trace = re.search(r"--replay (\S+)", shown)[1]
            again = run("--source", tree, "--patch", file, "--no-models", "R1", "--replay", trace,
                        status=1)
            self.assertIn("null-call", again)
        run("--source", tree, "--no-models", "R1", status=0)

    def test_the_locks_that_are_needed_are_named(self):
        tree = TREES[-1]
        shown = run("--source", tree, "--no-models", "--weaken", "R1", "R17", "R22", "Q12")
        needed = [l for l in shown.splitlines() if l.startswith("  ") and "none of ours" not in l]
        self.assertTrue(any("spin_lock in dma_fence_add_callback" in l for l in needed), shown)
        self.assertIn("none of ours", shown)

    def test_a_hazard_that_is_open_anyway_notices_too(self):
        """It goes wrong in another way: without the lock there is no deadlock."""
        shown = run("--source", TREES[-1], "--no-models", "--weaken", "R11", "Q15")
        self.assertRegex(shown, r"spin_lock in dma_fence_\S+ .*\b(R11|Q15) [a-z-]+ \(else deadlock\)")


if __name__ == "__main__":
    if not TREES:
        print("skipped: no kernel trees in UFENCE_KERNEL_SOURCES")
        sys.exit(SKIPPED)
    sys.exit(unittest.main(verbosity=2))
