"""docs/CONTRACT.md against the code: every rule has its row, every test that it names exists, every
tag of a memory order is in the index."""

import pathlib
import re

from ufence_lint import orders
from ufence_lint.tree import Tree

CONTRACT = "docs/CONTRACT.md"
DRIVER = "abi/ufence/driver.h"

# What must be there, and as what: a heading of its own, or a row of a table.
SERIES = (("F", 19, "### F{}"), ("D-", 24, "### D-{}"), ("Q", 32, "| Q{} |"), ("R", 26, "| R{} |"))
NO_TEST = ("none", "none yet")

QUOTED = re.compile(r"`([^`\n]+)`")
TEST_NAME = re.compile(r"[A-Za-z]\w*\.(?:\w+|\*)")
TEST = re.compile(r"^TEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.MULTILINE)
# Suites in C, in the kernel's style.
KUNIT_CASE = re.compile(r"\bKUNIT_CASE\((\w+)\)")
KUNIT_NAME = re.compile(r"^\t\.name = \"(\w+)\",$", re.MULTILINE)
# Programs in C with a table of cases (ufence/uapi/layer.cmake): uapi.CASE.
PROGRAM_CASE = re.compile(r"^ +\{ ?\"([A-Z]\w+)\",", re.MULTILINE)
TYPED_OR_COMMAND = re.compile(r"ufence_add_command_test\(\s*([\w.${}]+)")
FILE_NAME = re.compile(r"\w+\.(?:h|hpp|c|cc|py|txt|cmake|md|so|map)")
TAG = re.compile(r"\b[A-Z]+\.[0-9]+\b")
ERRNO = re.compile(r"\bE[A-Z0-9]{3,}\b")
CITED = re.compile(r"\b(F[0-9]+|D-[0-9]+)\b")


def check(root: pathlib.Path) -> list[str]:
    path = root / CONTRACT
    if not path.is_file():
        return [f"{CONTRACT}:1: missing; it holds the rules"]
    lines = path.read_text(encoding="utf-8").split("\n")
    tree = Tree(root)
    return [*_check_rows(lines), *_check_errnos(lines), *_check_told_errnos(lines, tree), *_check_tests(lines, tree), *_check_tags(lines, tree),
            *_check_citations(tree)]


def _check_rows(lines: list[str]) -> list[str]:
    findings = []
    for prefix, count, form in SERIES:
        for n in range(1, count + 1):
            start = form.format(n)
            at = [i for i, line in enumerate(lines, 1)
                  if line == start.strip() or line.startswith(start.rstrip() + " ")]
            if len(at) != 1:
                findings.append(f"{CONTRACT}:{at[-1] if at else 1}: {prefix}{n} is there "
                                f"{len(at)} times; give it one `{start.strip()}`")
            elif not _tests_of(lines, at[0]):
                findings.append(f"{CONTRACT}:{at[0]}: {prefix}{n} names no test; name one, or say "
                                "`none yet`")
    return findings


def _check_errnos(lines: list[str]) -> list[str]:
    """The table of error numbers is in the order of their names."""
    if "## Error numbers" not in lines:
        return []
    at = lines.index("## Error numbers")
    rows = [(i, line.split("|")[1].split(",")[0].strip()) for i, line in enumerate(lines, 1)
            if i > at and re.match(r"\| E[A-Z0-9]+[, ]", line)]
    return [f"{CONTRACT}:{i}: {name} stands after {before}; sort the rows by name"
            for (_, before), (i, name) in zip(rows, rows[1:]) if name < before]


def _check_told_errnos(lines: list[str], tree: Tree) -> list[str]:
    """The table has each error number that a public header tells of; those of the kernel's headers are the kernel's."""
    if "## Error numbers" not in lines:
        return []
    at = lines.index("## Error numbers")
    listed = {name for line in lines[at:] if line.startswith("| E") for name in ERRNO.findall(line.split("|")[1])}
    told = {name: path for path in sorted(tree.public | {DRIVER, "abi/ufence/ufence.h"}, reverse=True)
            if path in tree.files and not path.startswith("ufence/kernel/")
            for name in re.findall(r"-(E[A-Z0-9]{3,})\b", tree.files[path].text)}
    return [f"{CONTRACT}:{at + 1}: {name} is missing, of which {path} tells; add a row"
            for name, path in sorted(told.items()) if name not in listed]


def _tests_of(lines: list[str], at: int) -> str:
    """What stands where the tests belong: the last cell of a row, or the line `- Tests:` of a block."""
    if lines[at - 1].startswith("|"):
        return lines[at - 1].rstrip().removesuffix("|").split("|")[-1].strip()
    for i in range(at, len(lines)):
        if lines[i].startswith("#"):
            return ""
        if lines[i].startswith("- Tests:"):
            return lines[i].removeprefix("- Tests:").strip()
    return ""


def known_tests(tree: Tree) -> set[str]:
    """Every TEST of the sources, and the tests that are commands."""
    tests = set()
    for file in tree.files.values():
        if file.is_source and file.is_test:
            tests |= {f"{m[1]}.{m[2]}" for m in TEST.finditer(file.source.code)}
            tests |= {f"{suite}.{case}" for suite in KUNIT_NAME.findall(file.text)
                      for case in KUNIT_CASE.findall(file.source.code)}
            if file.path.endswith(".c"):
                layer = pathlib.PurePosixPath(file.path).parent.parent.name
                tests |= {f"{layer}.{case}" for case in PROGRAM_CASE.findall(file.text)}
        elif file.path.endswith(("CMakeLists.txt", ".cmake")):
            tests |= _command_tests(tree, file)
    return tests


def _command_tests(tree: Tree, file) -> set[str]:
    names = set()
    folder = pathlib.PurePosixPath(file.path).parent
    # What a name with a variable may stand for: a word of the same file, or a source beside it.
    words = set(re.findall(r"\b\w+\b", file.text))
    words |= {pathlib.PurePosixPath(p).stem for p in tree.files
              if pathlib.PurePosixPath(p).parent == folder}
    for match in TYPED_OR_COMMAND.finditer(file.text):
        if "$" not in match[1]:
            names.add(match[1])
        else:
            names |= {re.sub(r"\$\{\w+\}", word, match[1]) for word in words}
    return names


def _check_tests(lines: list[str], tree: Tree) -> list[str]:
    findings = []
    tests = known_tests(tree)
    suites = {name.split(".")[0] for name in tests}
    file_names = {pathlib.PurePosixPath(p).name for p in tree.files}
    for number, line in enumerate(lines, 1):
        for name in QUOTED.findall(line):
            if name in ("suite.*",) or not TEST_NAME.fullmatch(name):
                continue
            if FILE_NAME.fullmatch(name):
                if name not in file_names:
                    findings.append(f"{CONTRACT}:{number}: there is no file {name}; mend the name")
            elif name.endswith(".*"):
                if name[:-2] not in suites:
                    findings.append(f"{CONTRACT}:{number}: there is no test of suite {name[:-2]}; "
                                    "mend the name, or write the test")
            elif name not in tests:
                findings.append(f"{CONTRACT}:{number}: there is no test {name}; mend the name, or "
                                "write the test")
    return findings


def _check_tags(lines: list[str], tree: Tree) -> list[str]:
    tags: dict[str, orders.Tag] = {}
    for file in tree.sources:
        if file.area == "layer" and not file.is_test and file.part not in orders.UNTAGGED_LAYERS:
            orders._collect(tree, file, tags)
    start = next((i for i, line in enumerate(lines) if line == "## Memory order"), None)
    if start is None:
        return [f"{CONTRACT}:1: there is no section `## Memory order`; it is the index of the tags"]
    indexed = set(TAG.findall("\n".join(lines[start:])))
    findings = [f"{CONTRACT}:{start + 1}: the index names {name}, which no source defines; remove it"
                for name in sorted(indexed - tags.keys())]
    findings += [f"{tags[name].file.path}:{tags[name].line}: [{name}] is not in the index of "
                 f"{CONTRACT}; add it under its subject" for name in sorted(tags.keys() - indexed)]
    return findings


def _check_citations(tree: Tree) -> list[str]:
    """A comment that cites F19 or D-21 cites nothing."""
    last = {"F": 19, "D": 24}
    findings = []
    for file in tree.sources:
        if file.area in ("tests", "other"):
            continue
        for number in range(1, file.source.line_count() + 1):
            for rule in CITED.findall(file.source.comment(number) or ""):
                if not 1 <= int(rule.lstrip("FD-")) <= last[rule[0]]:
                    findings.append(f"{file.path}:{number}: cites {rule}, which is no rule of "
                                    f"{CONTRACT}; mend the number")
    return findings
