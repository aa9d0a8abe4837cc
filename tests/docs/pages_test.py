#!/usr/bin/env python3
"""pages_test.py ROOT SHARE: man pages and completions of the build have all that the command and the headers
have. What the shells and man say of them is asked where they are installed."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
ROOT, SHARE = (pathlib.Path(argument) for argument in sys.argv[1:3])
sys.path.insert(0, str(ROOT / "scripts"))

from ufence_pages import headers  # noqa: E402

DESCRIPTION = json.loads((SHARE.parent / "package/describe.json").read_text(encoding="utf-8"))


def commands(command=DESCRIPTION, path=("ufence",)):
    yield path, command
    for sub in command["subcommands"]:
        yield from commands(sub, (*path, sub["name"]))


def options(command):
    return [name for option in command["options"] for name in option["names"]]


def page(name: str, section: int) -> str:
    text = (SHARE / f"man/man{section}/{name}.{section}").read_text(encoding="utf-8")
    other = re.fullmatch(r"\.so man\d/(.*)\.\d\n", text)
    return page(other[1], section) if other else text


class ManPages(unittest.TestCase):
    def test_there_is_one_for_each_command_with_each_option(self):
        self.assertGreaterEqual(len(list(commands())), 9)
        for path, command in commands():
            text = page("-".join(path), 1).replace("\\-", "-")
            for name in options(command):
                self.assertIn(f"\\fB{name}\\fP", text)
            for sub in command["subcommands"]:
                self.assertIn(f"\\fB{'-'.join([*path, sub['name']])}\\fP(1)", text)

    def test_the_description_has_the_commands_that_help_has(self):
        program = os.environ["UFENCE_PROGRAM"]
        told = subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout
        listed = re.findall(r"^  ([a-z]+) ", told.split("Commands:\n")[1], re.M)
        self.assertEqual([sub["name"] for sub in DESCRIPTION["subcommands"]], listed)
        for path, command in commands():
            told = subprocess.run([program, *path[1:], "--help"], check=True, capture_output=True, text=True).stdout
            self.assertEqual(set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", told, re.M)),
                             {name for name in options(command) if name.startswith("--")}, path)

    def test_there_is_one_for_each_function_of_the_c_interface(self):
        text = re.sub(r"/\*.*?\*/", "", (ROOT / headers.C_HEADER).read_text(encoding="utf-8"), flags=re.S)
        functions = re.findall(r"^[a-zA-Z].*?\b(ufence_\w+)\((?=[^;{]*\);)", text, re.M)
        self.assertGreater(len(functions), 100)
        for name in functions:
            text = page(name, 3)
            self.assertIn(name, text)
            self.assertIn(".SH DESCRIPTION", text, name)

    def test_there_is_one_for_each_public_header(self):
        for header in headers.cpp_headers(ROOT):
            text = page(headers.page_of(header), 3)
            self.assertIn(header, text)
        self.assertIn("signal_up_to", page("ufence_fence_timeline.h", 3))

    def test_of_overview_have_what_they_are_made_of(self):
        self.assertIn("UFENCE_WATCHDOG", page("ufence", 7))
        rules = page("ufence-driver", 7)
        for number in range(1, 25):
            self.assertIn(f"D\\-{number}\\fP", rules)

    @unittest.skipUnless(shutil.which("groff"), "no groff")
    def test_are_read_without_warnings(self):
        pages = [file for section in (1, 3, 7) for file in sorted((SHARE / f"man/man{section}").iterdir())
                 if not file.read_text(encoding="utf-8").startswith(".so ")]
        self.assertGreater(len(pages), 100)
        for file in pages:
            ran = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-rLL=100n", "-Wbreak", "-z", file],
                                 capture_output=True, text=True, check=False)
            self.assertEqual((ran.returncode, ran.stderr), (0, ""), file.name)


class Completions(unittest.TestCase):
    def bash(self, *words: str) -> set[str]:
        """What bash offers for the last of these words."""
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _ufence; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        file = SHARE / "bash-completion/completions/ufence"
        ran = subprocess.run(["bash", "-c", script, "bash", file, *words], capture_output=True, text=True,
                             check=True)
        self.assertEqual(ran.stderr, "")
        return set(ran.stdout.split())

    def test_of_bash_offer_each_command_and_option(self):
        for path, command in commands():
            subs = {sub["name"] for sub in command["subcommands"]}
            self.assertLessEqual(subs, self.bash(*path, ""))
            self.assertEqual(self.bash(*path, "-"), set(options(command)))

    def test_of_bash_offer_what_an_option_takes(self):
        self.assertEqual(self.bash("ufence", "run", "--policy", ""), {"drain", "cancel"})
        self.assertEqual(self.bash("ufence", "run", "--via", "sync-"), {"sync-file"})
        self.assertIn("/usr", self.bash("ufence", "run", "--driver-path", "/us"))
        self.assertIn(str(os.getpid()), self.bash("ufence", "why", str(os.getpid())))

    @unittest.skipUnless(shutil.which("fish"), "no fish")
    def test_of_fish_offer_each_command_and_option(self):
        file = SHARE / "fish/vendor_completions.d/ufence.fish"
        for path, command in commands():
            for start, wanted in (("", {sub["name"] for sub in command["subcommands"]}),
                                  ("-", set(options(command)))):
                line = " ".join([*path, start])
                ran = subprocess.run(["fish", "--no-config", "-c", f"source {file}; complete -C '{line}'"],
                                     capture_output=True, text=True, check=True,
                                     env=os.environ | {"HOME": "/nonexistent"})
                offered = {row.split("\t")[0] for row in ran.stdout.split("\n")}
                self.assertLessEqual(wanted, offered, line)

    def test_of_zsh_have_each_command_and_option(self):
        file = SHARE / "zsh/vendor-completions/_ufence"
        text = file.read_text(encoding="utf-8")
        self.assertTrue(text.startswith("#compdef ufence\n"))
        for path, command in commands():
            function = re.search(rf"^_{'_'.join(path)}\(\) {{\n(.*?)^}}", text, re.M | re.S)[1]
            for name in options(command):
                self.assertIn(f"{name}[", function)
        if shutil.which("zsh"):
            subprocess.run(["zsh", "-f", "-n", file], check=True)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
