"""All rules over one tree."""

import pathlib

from ufence_lint import includes, orders, text, tree, words

RULES = (includes, orders, text, words)


def check(root: pathlib.Path) -> tuple[list[tree.Finding], int]:
    """The findings, sorted, and how many files were looked at."""
    checked = tree.Tree(root)
    for rule in RULES:
        rule.check(checked)
    return sorted(set(checked.findings), key=lambda f: (f.path, f.line, f.what)), len(checked.files)
