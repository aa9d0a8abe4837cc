#!/usr/bin/env python3
"""The N-th fenced block of a language in a document.

    readme_block.py DOCUMENT LANGUAGE N FILE             writes it to FILE; N may also be the name of a program,
                                                         which a line `<!-- program NAME: ... -->` gives it
    readme_block.py DOCUMENT LANGUAGE N --same-as FILE   exits with 1 if FILE, but for the comment that
                                                         it begins with, is not the same
"""

import pathlib
import re
import sys


def block_of(document: str, language: str, wanted: str) -> str:
    text = pathlib.Path(document).read_text(encoding="utf-8")
    if not wanted.isdigit():
        mark = re.search(rf"^<!-- program {re.escape(wanted)}: .*-->\n", text, re.MULTILINE)
        if not mark:
            sys.exit(f"{document}: no program {wanted}")
        text = text[mark.end():]
    number = int(wanted) if wanted.isdigit() else 1
    blocks = re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    if len(blocks) < number:
        sys.exit(f"{document}: {len(blocks)} blocks of {language}, number {number} is wanted")
    return blocks[number - 1]


def main() -> int:
    if len(sys.argv) not in (5, 6) or (len(sys.argv) == 6 and sys.argv[4] != "--same-as"):
        print(__doc__, file=sys.stderr)
        return 2
    block = block_of(sys.argv[1], sys.argv[2], sys.argv[3])
    file = pathlib.Path(sys.argv[-1])
    if len(sys.argv) == 5:
        file.write_text(block, encoding="utf-8")
        return 0
    there = re.sub(r"\A(?://[^\n]*\n)+", "", file.read_text(encoding="utf-8"))
    if there != block:
        print(f"{file} and {sys.argv[1]} differ; make them the same", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
