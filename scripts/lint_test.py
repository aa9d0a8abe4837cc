#!/usr/bin/env python3
"""Tests of the lint: for each rule a tree that keeps it and trees that break it."""

import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from ufence_lint import run  # noqa: E402
from ufence_lint.source import Source  # noqa: E402

LAYERS = """base: -> libufence
rcu: base -> libufence
fence: rcu -> libufence
module: base -> libufence
issuer: fence module -> libufence
lab/engine: base -> none
lab/models: lab/engine issuer -> none
"""


class LintCase(unittest.TestCase):
    def lint(self, files: dict[str, str], public: str = "") -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            every = {"scripts/layers.txt": LAYERS, "scripts/public_headers.txt": public, **files}
            for path, text in every.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text, encoding="utf-8")
            findings, _ = run.check(root)
        return [str(f) for f in findings]

    def assert_clean(self, files: dict[str, str], public: str = "") -> None:
        self.assertEqual(self.lint(files, public), [])

    def assert_flags(self, files: dict[str, str], place: str, what: str, public: str = "") -> None:
        found = self.lint(files, public)
        self.assertTrue(any(f.startswith(place + ":") and what in f for f in found),
                        f"nothing at {place} with `{what}` in {found}")


class Layers(LintCase):
    def test_examples_include_what_jobs_of_installed_drivers_look_like(self):
        line = '#include "ufence/drivers/cpu.h"\n'
        self.assert_clean({"examples/host.cc": line})
        self.assert_flags({"ufence/base/x.cc": line}, "ufence/base/x.cc:1", "drivers is no layer")

    def test_only_programs_of_the_lab_include_the_command_line(self):
        line = '#include "tools/command_line/command_line.h"\n'
        self.assert_clean({"lab/engine/program/main.cc": line})
        self.assert_flags({"lab/engine/fiber.cc": line}, "lab/engine/fiber.cc:1", "a layer includes")

    def test_downward_includes_are_fine(self):
        self.assert_clean({
            "ufence/base/clock.h": "",
            "ufence/fence/fence.cc": '#include "ufence/base/clock.h"\n#include <vector>\n',
        })

    def test_upward_include(self):
        self.assert_flags({
            "ufence/fence/fence.h": "",
            "ufence/base/clock.cc": '\n#include "ufence/fence/fence.h"\n',
        }, "ufence/base/clock.cc:2", "layer base includes ufence/fence/fence.h")

    def test_sideward_include(self):
        self.assert_flags({
            "ufence/module/elf.h": "",
            "ufence/fence/fence.cc": '#include "ufence/module/elf.h"\n',
        }, "ufence/fence/fence.cc:1", "may use only base fence rcu")

    def test_parts_of_the_lab_are_layers(self):
        self.assert_clean({
            "ufence/base/clock.h": "", "lab/engine/explore.h": '#include "ufence/base/clock.h"\n',
            "lab/models/product.cc": '#include "lab/engine/explore.h"\n',
        })
        self.assert_flags({
            "lab/models/product.h": "", "lab/engine/explore.cc": '#include "lab/models/product.h"\n',
        }, "lab/engine/explore.cc:1", "layer lab/engine includes lab/models/product.h")
        self.assert_flags({
            "lab/engine/explore.h": "", "ufence/base/clock.cc": '#include "lab/engine/explore.h"\n',
        }, "ufence/base/clock.cc:1", "layer base includes lab/engine/explore.h")
        self.assert_flags({"lab/gone/x.cc": ""} | {"ufence/base/clock.cc": '#include "lab/gone/x.h"\n'},
                          "ufence/base/clock.cc:1", "is no layer")

    def test_upward_include_of_a_test(self):
        self.assert_flags({
            "ufence/fence/fence.h": "",
            "ufence/base/clock_test.cc": '#include "ufence/fence/fence.h"\n',
        }, "ufence/base/clock_test.cc:1", "layer base includes")

    def test_commented_include_is_none(self):
        self.assert_clean({"ufence/base/clock.cc": '/*\n#include "ufence/fence/fence.h"\n*/\n'})

    def test_missing_header(self):
        self.assert_flags({"ufence/fence/fence.cc": '#include "ufence/base/gone.h"\n'},
                          "ufence/fence/fence.cc:1", "does not exist")

    def test_folder_that_is_no_layer(self):
        self.assert_flags({
            "ufence/sched/job.cc": '#include "ufence/base/clock.h"\n', "ufence/base/clock.h": "",
        }, "ufence/sched/job.cc:1", "folder sched is no layer")

    def test_short_path(self):
        self.assert_flags({"ufence/base/clock.h": "", "ufence/base/clock.cc": '#include "clock.h"\n'},
                          "ufence/base/clock.cc:1", 'write the full path, "ufence/base/clock.h"')

    def test_test_support_in_a_product_file(self):
        self.assert_flags({
            "ufence/testing/probe.h": "",
            "ufence/base/clock.cc": '#include "ufence/testing/probe.h"\n',
        }, "ufence/base/clock.cc:1", "for tests only")
        self.assert_clean({
            "ufence/testing/probe.h": "",
            "ufence/base/clock_test.cc": '#include "ufence/testing/probe.h"\n',
        })

    def test_rcu_library_outside_its_layer(self):
        self.assert_flags({"ufence/fence/fence.cc": "#include <urcu/urcu-bp.h>\n"},
                          "ufence/fence/fence.cc:1", "ufence/rcu/rcu.h")
        self.assert_clean({"ufence/rcu/rcu.cc": "#include <urcu/urcu-bp.h>\n"})

    def test_unreadable_layers(self):
        for line in ("base", "base:", "base: ->", "base -> libufence"):
            self.assert_flags({"scripts/layers.txt": line + "\n"}, "scripts/layers.txt:1", "cannot read")
        self.assert_flags({"scripts/layers.txt": "rcu: base -> libufence\nbase: -> libufence\n"}, "scripts/layers.txt:1",
                          "uses base, which no line above")


class Words(LintCase):
    GLOSSARY = """# Architecture
## Words
| word | means | not |
|---|---|---|
| batch | several of a kind | `bunch`, `heap of` |
| leaf | a fence | |
## Layers
| x | y | `batch` |
"""

    def test_a_word_that_the_glossary_rules_out(self):
        for line in ("// A bunch of fences.", "int bunch_size;", "// Heap of them", "struct bunch {};"):
            self.assert_flags({"ARCHITECTURE.md": self.GLOSSARY, "ufence/base/a.cc": "\n" + line + "\n"},
                              "ufence/base/a.cc:2", "the word is `batch`")

    def test_other_words_and_places(self):
        self.assert_clean({"ARCHITECTURE.md": self.GLOSSARY, "LICENSE": "bunch\n",
                           "ufence/base/a.cc": "// A batch of leaves, unbunched.\n"})
        self.assert_clean({"ufence/base/a.cc": "// A bunch; there is no glossary.\n"})


class Outside(LintCase):
    """Drivers, programs, public headers."""

    def test_driver_sees_the_driver_header(self):
        self.assert_clean({
            "abi/ufence/driver.h": "",
            "drivers/sim/sim.h": "",
            "drivers/sim/sim.cc":
                '#include <ufence/driver.h>\n#include "drivers/sim/sim.h"\n#include <liburing.h>\n',
        })

    def test_driver_that_includes_the_library(self):
        self.assert_flags({
            "ufence/fence/fence.h": "",
            "drivers/sim/sim.cc": '#include "ufence/fence/fence.h"\n',
        }, "drivers/sim/sim.cc:1", "a driver sees <ufence/driver.h>", public="ufence/fence/fence.h\n")

    def test_driver_that_includes_the_interface_of_consumers(self):
        self.assert_flags({"abi/ufence/ufence.h": "", "drivers/sim/sim.c": "#include <ufence/ufence.h>\n"},
                          "drivers/sim/sim.c:1", "for consumers")

    def test_driver_that_includes_another(self):
        self.assert_flags({"drivers/cpu/cpu.h": "", "drivers/sim/sim.cc": '#include "drivers/cpu/cpu.h"\n'},
                          "drivers/sim/sim.cc:1", "another's files")
        self.assert_clean({"drivers/common/crew.h": "#pragma once\n",
                           "drivers/sim/sim.cc": '#include "drivers/common/crew.h"\n'})

    def test_fence_layer_that_knows_modules(self):
        self.assert_flags({"ufence/fence/fence.cc": "#include <ufence/driver.h>\n"},
                          "ufence/fence/fence.cc:1", "layer fence knows nothing of modules")
        self.assert_clean({"ufence/issuer/host.cc": "#include <ufence/driver.h>\n"})

    def test_program_that_includes_an_internal_header(self):
        for program in ("tools/ufence/run/run.cc", "bench/bench.cc", "examples/wait.cc"):
            files = {"ufence/fence/state.h": "", program: '#include "ufence/fence/state.h"\n'}
            self.assert_flags(files, f"{program}:1", "which is not public")
            self.assert_clean(files, public="ufence/fence/state.h\n")

    def test_public_header_that_includes_an_internal_one(self):
        files = {"ufence/base/list.h": "", "ufence/fence/fence.h": '#include "ufence/base/list.h"\n'}
        self.assert_flags(files, "ufence/fence/fence.h:1", "is public and includes ufence/base/list.h",
                          public="ufence/fence/fence.h\n")
        self.assert_clean(files, public="ufence/base/list.h\nufence/fence/fence.h\n")

    def test_public_header_that_is_gone_or_named_twice(self):
        self.assert_flags({}, "scripts/public_headers.txt:1", "there is no ufence/gone.h",
                          public="ufence/gone.h\n")
        self.assert_flags({"ufence/base/a.h": ""}, "scripts/public_headers.txt:2", "twice",
                          public="ufence/base/a.h\nufence/base/a.h\n")


class Door(LintCase):
    def test_standard_atomics_in_the_library(self):
        for line in ("std::atomic<int> a;", "std::atomic_flag f;", "auto o = std::memory_order_acquire;",
                     "_Atomic int i;", "__atomic_load_n(p, 0);", "__sync_fetch_and_add(p, 1);"):
            self.assert_flags({"ufence/fence/fence.cc": f"\n{line}\n"}, "ufence/fence/fence.cc:2",
                              "use ufence::atomic")
        self.assert_flags({"tools/ufence/run/run.cc": "#include <atomic>\n"}, "tools/ufence/run/run.cc:1",
                          "ufence/base/atomic.h")

    def test_fences_anywhere(self):
        for line in ("std::atomic_thread_fence(x);", "atomic_signal_fence(x);",
                     "__atomic_thread_fence(x);", "__sync_synchronize();"):
            for path in ("ufence/fence/fence_test.cc", "drivers/sim/sim.cc", "bench/bench.cc",
                         "ufence/fence/fence.cc"):
                self.assert_flags({path: line + "\n"}, f"{path}:1", "give the order to an access")

    def test_the_door_itself_and_those_who_do_not_use_it(self):
        text = "#include <atomic>\nstd::atomic<int> a;\n__atomic_load_n(p, 0);\n"
        self.assert_clean({"ufence/base/atomic.h": text, "drivers/sim/sim.cc": text,
                           "ufence/fence/fence_test.cc": text})

    def test_the_door_for_c(self):
        files = {"scripts/layers.txt": "base: -> libufence\nkernel: base -> libufence\n"}
        text = "#define LOAD(p) __atomic_load_n(p, 0)\n"
        self.assert_clean({**files, "ufence/kernel/linux/ufence.h": text})
        self.assert_flags({**files, "ufence/kernel/linux/bitops.h": text},
                          "ufence/kernel/linux/bitops.h:1", "use ufence::atomic")

    def test_comments_and_literals_are_no_use(self):
        self.assert_clean({"ufence/fence/fence.cc":
                           '// std::atomic is not used\nauto s = "__atomic_load_n";\n'})


PAIR = """// [FENCE.1] release: publish; pairs with [FENCE.2]
a.store(1, mo::release);
// [FENCE.2] acquire: see it; pairs
// with [FENCE.1]
if (a.load(mo::acquire) == 1) return;
"""


class Orders(LintCase):
    def flags(self, text: str, line: int, what: str) -> None:
        self.assert_flags({"ufence/fence/fence.cc": text}, f"ufence/fence/fence.cc:{line}", what)

    def clean(self, text: str) -> None:
        self.assert_clean({"ufence/fence/fence.cc": text})

    def test_a_tagged_pair(self):
        self.clean(PAIR)

    def test_relaxed_needs_none(self):
        self.clean("a.load(mo::relaxed);\n")

    def test_untagged(self):
        for order in ("acquire", "release", "acq_rel", "seq_cst"):
            self.flags(f"\nx();\na.load(mo::{order});\n", 3, f"mo::{order} without a tag")

    def test_tag_that_is_not_directly_above(self):
        self.flags(PAIR.replace("a.store", "\na.store"), 3, "mo::release without a tag")
        self.flags(PAIR.replace("a.store", "x();\na.store"), 3, "mo::release without a tag")

    def test_tag_for_another_order(self):
        self.flags(PAIR.replace("mo::release", "mo::seq_cst"), 2, "above it: [FENCE.1], for other orders")
        self.flags(PAIR.replace("mo::release", "mo::relaxed"), 1, "[FENCE.1] says release, but")

    def test_one_tag_covers_its_statement_only(self):
        self.flags(PAIR.replace("a.store(1, mo::release);", "{ b(); }\na.store(1, mo::release);"),
                   3, "mo::release without a tag")

    def test_two_orders_in_one_statement(self):
        self.clean(PAIR.replace("release: publish", "acq_rel, acquire: publish")
                   .replace("a.store(1, mo::release);",
                            "while (!a.compare_exchange(x, y, mo::acq_rel,\n    mo::acquire)) {}"))
        self.flags(PAIR.replace("a.store(1, mo::release);",
                                "a.compare_exchange(x, y, mo::release,\n    mo::acquire);"),
                   3, "mo::acquire without a tag")

    def test_statements_over_several_lines(self):
        self.clean(PAIR.replace("a.store(1, mo::release);",
                                "const auto old =\n    f([] { g(); }, b{1, 2},\n      a.swap(1, mo::release));"))
        self.clean(PAIR.replace("a.store(1, mo::release);",
                                "for (auto i = b; i != e; i = i->next)\n  i->store(1, mo::release);"))
        self.clean("do {\n" + PAIR.replace("if (a.load(mo::acquire) == 1) return;",
                                           "} while (a.load(mo::acquire) == 1);"))

    def test_comment_inside_the_statement(self):
        self.clean(PAIR.replace("// [FENCE.1]", "f(b,\n  // [FENCE.1]").replace("a.store(1, mo::release);",
                                                                               "a.swap(1, mo::release));"))

    def test_tag_defined_twice(self):
        self.flags(PAIR + PAIR, 6, "defines [FENCE.1], as ufence/fence/fence.cc:1 does")
        self.assert_flags({"ufence/fence/a.cc": PAIR, "ufence/issuer/b.cc": PAIR},
                          "ufence/issuer/b.cc:1", "defines [FENCE.1], as ufence/fence/a.cc:1")

    def test_pairs(self):
        self.flags(PAIR.replace("; pairs with [FENCE.2]", ""), 1, "[FENCE.1] pairs with nothing")
        self.flags(PAIR.replace("pairs with [FENCE.2]", "pairs with"), 1, "[FENCE.1] pairs with nothing")
        self.flags(PAIR.replace("with [FENCE.2]", "with [FENCE.3]"), 1,
                   "[FENCE.1] pairs with [FENCE.3], which does not exist")
        self.flags(PAIR.replace("with [FENCE.2]", "with [FENCE.2]").replace(
            "// with [FENCE.1]", "// with the caller's lock"), 1, "add [FENCE.1] at ufence/fence/fence.cc:3")

    def test_pairs_in_other_files_and_with_the_world(self):
        first, second = PAIR.split("\n")[:2], PAIR.split("\n")[2:]
        self.assert_clean({"ufence/fence/a.h": "\n".join(first), "ufence/issuer/b.cc": "\n".join(second)})
        self.clean("// [TL.1] acquire: see the word; pairs with the device's write\na.load(mo::acquire);\n")

    def test_who_is_exempt(self):
        self.assert_clean({path: "a.load(mo::acquire);\n" for path in (
            "ufence/base/lock.h", "ufence/fence/fence_test.cc", "ufence/fence/testing/support.h")})


class Text(LintCase):
    def test_notes_to_self(self):
        for word in ("TO" + "DO", "FIX" + "ME"):
            self.assert_flags({"docs/a.md": f"a\n{word}: b\n"}, "docs/a.md:2", word)

    def test_paths_of_a_machine(self):
        for path in ("/ho" + "me/ada/x", "/wo" + "rk/main"):
            self.assert_flags({"scripts/a": f"cd {path}\n"}, "scripts/a:1", "path of one machine")
        self.assert_clean({"scripts/a": "cd $root/wo" + "rk/a /usr/include /tmp/a src/ho" + "me/a\n"})

    def test_prose_that_is_not_wrapped(self):
        long = "a word " * 20
        for prose in (long, "- " + long, "  " + long):
            self.assert_flags({"docs/a.md": f"a\n{prose}\n"}, "docs/a.md:2", "wrap it at 120")
        for other in (f"| {long} |", f"    {long}", f"```\n{long}\n```", "- " + "long" * 40, "# " + long):
            self.assert_clean({"docs/a.md": f"{other}\n"})

    def test_not_what_git_keeps_beside_a_worktree(self):
        self.assert_clean({".git": "gitdir: /ho" + "me/ada/x\n"})

    def test_two_tests_of_one_name(self):
        self.assert_flags({"ufence/base/a_test.cc": "TEST(fence, waits) {}\n",
                           "ufence/base/b_test.cc": "\nTEST_F(fence, waits) {}\n"},
                          "ufence/base/b_test.cc:2", "a second test fence.waits")


class Reading(unittest.TestCase):
    def test_literals_and_comments(self):
        source = Source('a("// no", \'"\', R"x(/* no " */)x"); // no\n/* no */ c;\n')
        self.assertNotIn("no", source.code)
        self.assertTrue(source.code.startswith("a("))
        self.assertIn(");", source.code)
        self.assertIn("c;", source.code)
        self.assertIsNone(source.comment(1))

    def test_comment_lines(self):
        source = Source("/// a\n/* b\n * c */\n\n// d\nx;\n")
        self.assertEqual([source.comment(n) for n in range(1, 7)], ["a", "b", "c", None, "d", None])
        self.assertEqual(source.comments_above(6), range(5, 6))

    def test_digit_separators_are_no_literals(self):
        self.assertIn("+ b", Source("x = 1'000'000 + b; c = 'd';").code)


if __name__ == "__main__":
    unittest.main()
