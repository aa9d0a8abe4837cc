"""Text for man, from plain text and from Markdown."""

import os
import pathlib
import re
import time

BOOKS = {1: "User Commands", 3: "ufence Interfaces", 7: "ufence"}


def escaped(text: str) -> str:
    """Text that roff prints as it is, in one or more lines."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in text.split("\n"))


def bold(text: str) -> str:
    return f"\\fB{escaped(text)}\\fP"


def verbatim(text: str) -> str:
    return f".PP\n.RS 4\n.nf\n{escaped(text.rstrip())}\n.fi\n.RE\n"


def inline(text: str) -> str:
    """Of Markdown: `code`, **strong**, [links](...)."""
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
    parts = re.split(r"(`[^`]+`|\*\*[^*]+\*\*)", text)
    return "".join(bold(p.strip("`*")) if p[:1] in "`*" and len(p) > 2 and p[0] == p[-1] else escaped(p)
                   for p in parts)


def _cells(row: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def _table(rows: list[str]) -> str:
    """Each row: its first cell, and what the others say of it."""
    names = _cells(rows[0])
    text = ""
    for row in rows[2:]:
        cells = _cells(row)
        told = cells[1:] if len(cells) == 2 else [
            f"{name}: {cell}" for name, cell in zip(names[1:], cells[1:]) if cell]
        text += f".TP\n{inline(cells[0])}\n" + "\n.br\n".join(inline(cell) for cell in told) + "\n"
    return text


def markdown(text: str) -> str:
    out = ""
    for block in re.split(r"\n\n+(?!(?: {4}|\n))(?=(?:[^`]|`(?!``))*(?:```(?:[^`]|`(?!``))*```(?:[^`]|`(?!``))*)*$)",
                          text.strip("\n")):
        lines = block.split("\n")
        if block.startswith("```"):
            out += verbatim("\n".join(lines[1:-1]))
        elif block.startswith("    "):
            out += verbatim("\n".join(line[4:] for line in lines))
        elif block.startswith("|"):
            out += _table(lines)
        elif block.startswith("- "):
            for item in re.split(r"\n(?=- )", block):
                out += ".IP \\(bu 2\n" + inline(re.sub(r"\n +", "\n", item[2:])) + "\n"
        elif block.startswith("### "):
            out += f".SS {inline(block[4:])}\n"
        elif block:
            out += ".PP\n" + inline(block) + "\n"
    return out


class Pages:
    def __init__(self, version: str, folder: pathlib.Path):
        self.version = version
        self.folder = folder
        # The same sources give the same pages.
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        self.date = time.strftime("%Y-%m-%d", time.gmtime(int(epoch))) if epoch else ""

    def _file(self, name: str, section: int) -> pathlib.Path:
        file = self.folder / f"man{section}" / f"{name}.{section}"
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def write(self, names: list[str], section: int, what: str, parts: list[tuple[str, str]],
              title: str | None = None) -> None:
        """A page under each of these names. `parts`: headings, and roff; empty ones are left out."""
        head = (f'.TH "{(title or names[0]).upper()}" {section} "{self.date}" "ufence {self.version}" '
                f'"{BOOKS[section]}"\n')
        text = head + f".SH NAME\n{', '.join(escaped(n) for n in names)} \\- {escaped(what)}\n"
        text += "".join(f".SH {heading}\n{roff}" for heading, roff in parts if roff)
        self._file(names[0], section).write_text(text, encoding="utf-8")
        for other in names[1:]:
            self._file(other, section).write_text(f".so man{section}/{names[0]}.{section}\n", encoding="utf-8")
