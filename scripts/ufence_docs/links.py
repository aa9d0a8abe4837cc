"""Links between the documents: the file is there, and so is the heading."""

import pathlib
import posixpath
import re

from ufence_lint.tree import SKIPPED

LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """As code forges make them: lower case, no punctuation, dashes for blanks."""
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
            for heading in HEADING.findall(CODE.sub("", text))}


def check(root: pathlib.Path) -> list[str]:
    documents = {p.relative_to(root).as_posix(): p.read_text(encoding="utf-8")
                 for p in sorted(root.rglob("*.md"))
                 if not SKIPPED & set(p.relative_to(root).parts)}
    findings = []
    for path, text in documents.items():
        prose = CODE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
        for match in LINK.finditer(prose):
            if re.match(r"[a-z]+:", match[1]):
                continue  # of the world
            line = text.count("\n", 0, match.start()) + 1
            name, _, anchor = match[1].partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) if name else path
            if not (root / target).exists():
                findings.append(f"{path}:{line}: links to {target}, which does not exist; mend the link")
            elif anchor and anchor not in anchors(documents.get(target, "")):
                findings.append(f"{path}:{line}: links to #{anchor}, which is no heading of {target}; "
                                "mend the link")
    return findings
