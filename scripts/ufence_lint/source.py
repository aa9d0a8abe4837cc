"""A C++ source split into code and comments, and its code into statements."""

import bisect
import re

_TOKEN = re.compile(
    r"//[^\n]*"
    r"|/\*.*?\*/"
    r'|(?:u8|[uUL])?R"(?P<delimiter>[^()\\ \n]*)\(.*?\)(?P=delimiter)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'",
    re.DOTALL)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


class Source:
    """`code` is the text with comments and the insides of literals blanked out, `includes` what it
    includes; `comment(n)` is the text of line n if it holds nothing but a comment. Lines count
    from 1."""

    def __init__(self, text: str):
        code = []
        comments = []
        last = 0
        for token in _TOKEN.finditer(text):
            code.append(text[last:token.start()])
            comments.append(_blank(text[last:token.start()]))
            whole = token[0]
            is_comment = whole.startswith(("//", "/*"))
            code.append(_blank(whole) if is_comment else
                        whole[0] + _blank(whole[1:-1]) + whole[-1])
            comments.append(whole if is_comment else _blank(whole))
            last = token.end()
        code.append(text[last:])
        comments.append(_blank(text[last:]))
        self.code = "".join(code)
        self._comment_lines = "".join(comments).split("\n")
        self._code_lines = self.code.split("\n")
        self._starts = [0]
        for match in re.finditer("\n", text):
            self._starts.append(match.end())
        self.includes = [
            (number, match[1], match[2])
            for number, line in enumerate(text.split("\n"), 1)
            if (match := re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line))
            and self._code_lines[number - 1].lstrip().startswith("#")]
        self._statements: list[int] | None = None

    def line_of(self, offset: int) -> int:
        return bisect.bisect_right(self._starts, offset)

    def line_count(self) -> int:
        return len(self._code_lines)

    def comment(self, line: int) -> str | None:
        if line < 1 or line > len(self._code_lines) or self._code_lines[line - 1].strip():
            return None
        text = self._comment_lines[line - 1].strip()
        if not text:
            return None
        return re.sub(r"^(///?<?|/\*+|\*(?!/))\s?|\*/$", "", text).strip()

    def comments_above(self, line: int) -> range:
        """The lines of the block of comments that ends directly above `line`."""
        first = line
        while self.comment(first - 1) is not None:
            first -= 1
        return range(first, line)

    def statement_line(self, offset: int) -> int:
        """The line on which the statement that contains `offset` begins."""
        if self._statements is None:
            self._statements = _statement_starts(self.code)
        return self.line_of(self._statements[offset])


def _statement_starts(code: str) -> list[int]:
    """For each offset, where its statement begins. A brace opens a new statement; one inside
    parentheses (a lambda) or followed by more of an expression returns to the outer one."""
    starts = [0] * len(code)
    outer: list[tuple[int, int]] = []
    depth = 0
    start = -1  # -1: the next character that is not space begins a statement
    directive = False
    for i, c in enumerate(code):
        if c == "\n" and directive and code[i - 1] != "\\":
            directive, start, depth = False, -1, 0
        if start < 0 and not c.isspace():
            start = i
            directive = c == "#"
        starts[i] = start if start >= 0 else i
        if directive:
            continue
        if c in "([":
            depth += 1
        elif c in ")]":
            depth = max(0, depth - 1)
        elif c == "{":
            outer.append((depth, start))
            depth, start = 0, -1
        elif c == "}":
            depth, before = outer.pop() if outer else (0, -1)
            rest = re.match(r"\s*(\S)?", code[i + 1:i + 200])
            follows = rest[1] if rest and rest[1] else ""
            start = before if depth > 0 or (follows and follows in ";,.)(=?") else -1
        elif c == ";" and depth == 0:
            start = -1
    return starts
