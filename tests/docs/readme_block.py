#!/usr/bin/env python3
"""readme_block.py DOCUMENT LANGUAGE N FILE: writes the N-th fenced block of a language to a file."""

import pathlib
import re
import sys


def main() -> int:
    document, language, number, to = sys.argv[1:]
    text = pathlib.Path(document).read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    if len(blocks) < int(number):
        print(f"{document}: {len(blocks)} blocks of {language}, number {number} is wanted",
              file=sys.stderr)
        return 1
    pathlib.Path(to).write_text(blocks[int(number) - 1], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
