#!/usr/bin/env python3
"""Tests of contract_check: documents that agree with the code, and documents that do not."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from ufence_docs import contract, links, state  # noqa: E402

TESTS = "TEST(first, holds) {}\nTEST_F(second, also_holds) {}\n"
SOURCE = "// [FENCE.1] acquire: why; pairs with the world\nvoid f() { x.load(mo::acquire); }\n"


def document(tests: str = "`first.holds`", index: str = "FENCE.1", without: str = "") -> str:
    blocks = [f"### {prefix}{n} A rule\n\n- Tests: {tests}\n"
              for prefix, count in (("F", 19), ("D-", 24)) for n in range(1, count + 1)]
    rows = [f"| {prefix}{n} | what | here | {tests} |"
            for prefix, count in (("Q", 32), ("R", 26)) for n in range(1, count + 1)]
    text = "\n".join([*blocks, *rows, "", "## Memory order", "", index, ""])
    return text.replace(without, "", 1) if without else text


class Case(unittest.TestCase):
    def check(self, rule, files: dict[str, str]) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            every = {"scripts/layers.txt": "base:\nfence: base\n", "scripts/public_headers.txt": "",
                     "ufence/fence/a_test.cc": TESTS, "ufence/fence/a.cc": SOURCE, **files}
            for path, text in every.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text, encoding="utf-8")
            return rule.check(root)

    def assert_finds(self, findings: list[str], what: str) -> None:
        self.assertTrue(any(what in f for f in findings), f"no `{what}` in {findings}")


class Contract(Case):
    def contract(self, text: str, **files: str) -> list[str]:
        return self.check(contract, {"docs/CONTRACT.md": text, **files})

    def test_a_complete_one_is_fine(self):
        self.assertEqual(self.contract(document()), [])
        self.assertEqual(self.contract(document("`second.also_holds`, `first.*`")), [])
        self.assertEqual(self.contract(document("none yet")), [])

    def test_a_missing_document(self):
        self.assert_finds(self.check(contract, {}), "docs/CONTRACT.md:1: missing")

    def test_a_missing_row(self):
        for row, name in (("### F7 A rule", "F7"), ("### D-20 A rule", "D-20"),
                          ("| Q31 | what", "Q31"), ("| R1 | what", "R1")):
            self.assert_finds(self.contract(document(without=row)), f": {name} is there 0 times")

    def test_a_row_that_is_there_twice(self):
        self.assert_finds(self.contract(document() + "| R1 | what | here | none |\n"),
                          ": R1 is there 2 times")

    def test_a_row_without_a_test(self):
        found = self.contract(document().replace("- Tests: `first.holds`\n", "", 1))
        self.assert_finds(found, ": F1 names no test")
        found = self.contract(document().replace("| Q2 | what | here | `first.holds` |",
                                                 "| Q2 | what | here |  |"))
        self.assert_finds(found, ": Q2 names no test")

    def test_a_test_that_does_not_exist(self):
        found = self.contract(document("`first.holds`, `first.does_not_hold`"))
        self.assert_finds(found, "no test first.does_not_hold")
        self.assert_finds(self.contract(document("`third.*`")), "no test of suite third")

    def test_a_test_in_a_comment_does_not_exist(self):
        found = self.contract(document("`first.gone`"),
                              **{"ufence/fence/b_test.cc": "// TEST(first, gone) {}\n"})
        self.assert_finds(found, "no test first.gone")

    def test_a_command_test(self):
        cmake = {"tests/CMakeLists.txt": "ufence_add_command_test(lint.rules\n  COMMAND x)\n",
                 "examples/CMakeLists.txt": "ufence_add_command_test(example.${name} COMMAND x)\n",
                 "examples/hello.cc": ""}
        self.assertEqual(self.contract(document("`lint.rules`, `example.hello`"), **cmake), [])
        self.assert_finds(self.contract(document("`example.bye`"), **cmake), "no test example.bye")
        self.assert_finds(self.contract(document("`lint.other`"), **cmake), "no test lint.other")

    def test_a_file_that_does_not_exist(self):
        self.assertEqual(self.contract(document() + "`a.cc`\n"), [])
        self.assert_finds(self.contract(document() + "`b.cc`\n"), "no file b.cc")

    def test_a_tag_that_is_not_indexed(self):
        self.assert_finds(self.contract(document(index="")), "ufence/fence/a.cc:1: [FENCE.1] is not")
        self.assert_finds(self.contract(document(index="FENCE.1 FENCE.2")), "the index names FENCE.2")

    def test_a_citation_of_no_rule(self):
        cited = {"ufence/fence/b.cc": SOURCE.replace("FENCE.1", "FENCE.2") + "// see D-20, F19\n"}
        self.assertEqual(self.contract(document(index="FENCE.1 FENCE.2"), **cited), [])
        cited = {"ufence/fence/b.cc": "// F20 says so\n"}
        self.assert_finds(self.contract(document(), **cited), "ufence/fence/b.cc:1: cites F20")

    def test_an_error_number_that_is_not_in_the_table(self):
        table = document() + "## Error numbers\n\n| errno | from | means |\n|---|---|---|\n| EAGAIN, EIO | f | x |\n"
        header = {"scripts/public_headers.txt": "ufence/fence/b.h\n"}
        self.assertEqual(self.contract(table, **header, **{"ufence/fence/b.h": "// -EIO; -EAGAIN\n"}), [])
        self.assert_finds(self.contract(table, **header, **{"ufence/fence/b.h": "// -EIO; -EXDEV\n"}),
                          "EXDEV is missing, of which ufence/fence/b.h tells")


class Links(Case):
    def test_links(self):
        files = {"README.md": "[a](docs/A.md#the-second-one) [b](#here) [c](https://example.org/x)\n"
                              "## Here\n```\n[no](link.md)\n```\n",
                 "docs/A.md": "# First\n## The second, one\n[up](../README.md)\n"}
        self.assertEqual(self.check(links, files), [])
        files["docs/B.md"] = "\n[x](A.md#third) and [y](C.md)\n"
        found = self.check(links, files)
        self.assert_finds(found, "docs/B.md:2: links to #third, which is no heading of docs/A.md")
        self.assert_finds(found, "docs/B.md:2: links to docs/C.md, which does not exist")


LIST = """# Title
| `elsewhere` | is no state |
## Process-wide state
| object | where |
|---|---|
| `counter`, `guard` | a.cc |
| `ranks` (per thread) | b.h, some builds: debug checks |
## Next
| `later` | is no state |
"""


class State(unittest.TestCase):
    def compare(self, *found: str) -> list[str]:
        return state.compare(set(found), state.listed(LIST))

    def test_what_is_listed_is_fine(self):
        every = ("ufence::(anonymous namespace)::counter", "ufence::guard", "per_thread<ranks>::value_")
        self.assertEqual(self.compare(*every), [])
        self.assertEqual(self.compare(*every[:2]), [])  # a build without debug checks

    def test_what_is_not_listed(self):
        found = self.compare("counter", "guard", "ufence::counter_of_others")
        self.assertEqual(len(found), 1)
        self.assertIn("ufence::counter_of_others is process-wide state", found[0])

    def test_what_is_listed_and_not_there(self):
        found = self.compare("counter")
        self.assertEqual(len(found), 1)
        self.assertIn("ARCHITECTURE.md:6: lists guard", found[0])

    def test_symbols_of_a_library(self):
        with tempfile.TemporaryDirectory() as folder:
            source, library = pathlib.Path(folder, "a.cc"), pathlib.Path(folder, "a.so")
            source.write_text("namespace n { int zero; int one = 1; const int two = 2;\n"
                              "static thread_local int mine = 3; int* at() { return &mine; }\n"
                              "struct s { virtual void f(); }; void s::f() {}\n"
                              "extern const char* const names[2]; const char* const names[2] = {};\n"
                              "int* once() { static int local; return &local; } }\n")
            subprocess.run(["c++", "-shared", "-fPIC", "-o", library, source], check=True)
            found = state.symbols(str(library))
        self.assertEqual(found, {"n::zero", "n::one", "n::mine", "n::once()::local"})


if __name__ == "__main__":
    unittest.main()
