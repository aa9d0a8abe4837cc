"""What no file may hold: notes to self, paths of one machine, prose that is not wrapped; and two tests of the
same name."""

import re

# Put together so that this file does not find itself.
NOTE = re.compile(r"\b(" + "TO" + "DO|" + "FIX" + "ME)" + r"\b")
MACHINE_PATH = re.compile(r"(?<![\w.$}/-])/(?:work|home|root|Users|farm)/[\w.-]+")
TEST = re.compile(r"^TEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.MULTILINE)
PROSE_WIDTH = 120
NOT_PROSE = ("|", "    ", "#", "<!--", "![")  # tables, code, headings, comments, pictures


def check_prose(tree, file) -> None:
    is_code = False
    for number, line in enumerate(file.text.split("\n"), 1):
        if line.startswith("```"):
            is_code = not is_code
        elif not is_code and len(line) > PROSE_WIDTH and not line.startswith(NOT_PROSE) and " " in line.strip(" -"):
            tree.report(file, number, f"{len(line)} columns; wrap it at {PROSE_WIDTH}")


def check(tree) -> None:
    tests: dict[str, str] = {}
    for file in tree.files.values():
        if file.path == "LICENSE":
            continue
        if file.path.endswith(".md"):
            check_prose(tree, file)
        for number, line in enumerate(file.text.split("\n"), 1):
            if match := NOTE.search(line):
                tree.report(file, number, f"{match[1]}; do it, or say plainly what is not done and why")
            if match := MACHINE_PATH.search(line):
                tree.report(file, number, f"{match[0]} is a path of one machine; use a relative one or "
                            "a variable")
        if file.is_source and file.is_test:
            for match in TEST.finditer(file.source.code):
                name = f"{match[1]}.{match[2]}"
                place = f"{file.path}:{file.source.line_of(match.start())}"
                if name in tests:
                    tree.report(file, file.source.line_of(match.start()),
                                f"a second test {name}, as {tests[name]}; rename one, ctest knows "
                                "tests by name")
                tests.setdefault(name, place)
