"""Section 3. C: a page for each comment of ufence/ufence.h and what stands below it. C++: a page for each
public header, with what is documented there."""

import re

from ufence_pages.roff import bold, escaped, verbatim

C_HEADER = "abi/ufence/ufence.h"
# Parts of a comment that begin with one of these words have a heading of their own.
HEADINGS = {"@param": "PARAMETERS", "@return": "RETURN VALUE", "Blocks:": "NOTES", "Order:": "NOTES",
            "Threads:": "NOTES", "Context:": "NOTES", "Allocates:": "NOTES", "Ownership:": "NOTES",
            "Source:": "NOTES"}
# The words with a colon stand at the begin of a line, or after a sentence or some space.
TAG = re.compile(r"(?:(?<=\s)|^)(@param|@return)\s+|(?:(?<=\n)|(?<=[.)] )|(?<=  )|^)("
                 + "|".join(tag for tag in HEADINGS if tag.endswith(":")) + r")\s+")


def _first_sentence(text: str) -> str:
    plain = " ".join(text.split())
    sentence = re.split(r"(?<=[.:;])\s|[.;:]$", plain)[0].rstrip(".:;")
    return sentence if len(sentence) <= 90 else sentence[:90].rsplit(" ", 1)[0] + " ..."


def parts_of(comment: str) -> dict[str, str]:
    """DESCRIPTION and the other headings, as roff."""
    pieces = [piece for piece in TAG.split(comment) if piece is not None]
    found = {"DESCRIPTION": f".PP\n{escaped(pieces[0].strip())}\n" if pieces[0].strip() else ""}
    for tag, text in zip(pieces[1::2], pieces[2::2]):
        text = re.sub(r"\n\s+", "\n", text.strip())
        if tag == "@param":
            name, _, said = text.partition(" ")
            roff = f".TP\n{bold(name)}\n{escaped(said.strip())}\n"
        elif tag == "@return":
            roff = f".PP\n{escaped(text)}\n"
        else:
            roff = f".PP\n{escaped(tag)} {escaped(text)}\n"
        found[HEADINGS[tag]] = found.get(HEADINGS[tag], "") + roff
    return found


# --- C ---

def _c_comment(text: str) -> str:
    return re.sub(r"\n[ \t]*\* ?", "\n", text[2:-2]).strip()


def c_groups(text: str) -> list[tuple[str, str, str]]:
    """(section, comment, declarations) of a header, in its order."""
    text = re.sub(r"^#if defined\(__GNUC__\)\n.*?^#endif\n", "", text, flags=re.M | re.S)
    text = re.sub(r"^#ifdef __cplusplus\n.*?^#endif\n", "", text, flags=re.M | re.S)
    body = text[text.index("#define UFENCE_NO_DEADLINE"):]
    groups, section, comment, code, depth = [], "", "", "", 0

    def finish():
        if code.strip():
            groups.append((section, comment, code.strip("\n")))

    for token in re.split(r"(/\*.*?\*/|\n\n|[{}])", body, flags=re.S):
        if token.startswith("/*") and depth == 0 and code[-1:] in ("", "\n"):
            finish()
            code, comment = "", _c_comment(token)
            if comment.startswith("---"):
                section, comment = comment.strip("- "), ""
            continue
        if token == "\n\n" and depth == 0:
            finish()
            code, comment = "", ""
            continue
        depth += (token == "{") - (token == "}")
        code += token
    finish()
    return [(s, c, re.sub(r"^#.*\n?", "", d, flags=re.M)) for s, c, d in groups]


def names_of(declarations: str) -> list[str]:
    """Functions that are declared there; without one, the structs and enums that are defined."""
    top = re.sub(r"\{.*?\}", "{}", re.sub(r"/\*.*?\*/", "", declarations, flags=re.S), flags=re.S)
    functions = re.findall(r"\b(ufence_\w+)\(", top)
    return functions or re.findall(r"\b(?:struct|enum) (ufence_\w+) ?\{", top)


def write_c(pages, root) -> None:
    text = (root / C_HEADER).read_text(encoding="utf-8")
    groups = [g for g in c_groups(text) if names_of(g[2])]
    pending = ""  # structs that stand before the function that takes them
    for section, comment, declarations in groups:
        names = names_of(declarations)
        if not comment and "(" not in re.sub(r"\{.*?\}|/\*.*?\*/", "", declarations, flags=re.S):
            pending += declarations + "\n\n"
            continue
        if not comment:
            raise SystemExit(f"{C_HEADER}: no comment above {', '.join(names)}")
        defined = re.findall(r"\b(?:struct|enum) (ufence_\w+) ?\{", pending)
        parts = parts_of(comment)
        synopsis = verbatim("#include <ufence/ufence.h>\n\n" + (pending + declarations).replace("UFENCE_MUST_CHECK ", ""))
        what = _first_sentence(TAG.split(comment)[0]) or section.split(":")[0].split(" (")[0].lower()
        order = [("SYNOPSIS", synopsis)]
        order += [(h, parts.get(h, "")) for h in ("DESCRIPTION", "PARAMETERS", "RETURN VALUE", "NOTES")]
        order.append(("SEE ALSO", f"{bold('ufence')}(7)\n"))
        pages.write(list(dict.fromkeys(names + defined)), 3, what, order)
        pending = ""


# --- C++ ---

def cpp_headers(root) -> list[str]:
    """Public headers for C++, relative to where they are included from. Those of ufence/kernel but interop.h
    are the kernel's, whose documentation is the kernel's."""
    lines = (root / "scripts/public_headers.txt").read_text(encoding="utf-8").split("\n")
    headers = [line for line in lines if line and not line.startswith("#")]
    return [h for h in headers if not h.startswith("ufence/kernel/") or h.endswith("interop.h")] + ["ufence/driver.hpp"]


def page_of(header: str) -> str:
    return header.replace("/", "_")


def documented(text: str) -> list[tuple[str, str, str]]:
    """(class or "", declaration, comment) for each `///` comment of a header."""
    found, scopes, depth, comment, declaration = [], [], 0, [], []
    for line in text.split("\n"):
        stripped = line.strip()
        if stripped.startswith("///"):
            comment.append(stripped[3:].removeprefix(" "))
            continue
        code = re.sub(r"//.*", "", line)
        if comment and stripped:
            declaration.append(code.strip())
            if re.search(r"[;{}]", code):
                head = re.split(r"\{|;", " ".join(declaration))[0].strip()
                inside = "::".join(name for name, _ in scopes)
                found.append((inside, head, "\n".join(comment)))
                comment, declaration = [], []
        elif not stripped:
            comment, declaration = [], []
        opened = re.match(r"\s*(?:template <.*> )?(?:class|struct|union) (?:\w+\([^)]*\) |UFENCE_\w+ |\[\[\w+\]\] )*(\w+)", code)
        before = depth
        depth += code.count("{") - code.count("}")
        if opened and depth > before:
            scopes.append((opened[1], before))
        while scopes and depth <= scopes[-1][1]:
            scopes.pop()
    return found


def head_of(text: str) -> str:
    lines = []
    for line in text.split("\n"):
        if not line.startswith("//"):
            break
        lines.append(line[2:].removeprefix(" "))
    return "\n".join(lines)


def _head_roff(head: str) -> str:
    roff = ""
    for block in re.split(r"\n\n", head):
        prose = []
        for line in block.split("\n"):
            if line.startswith("  "):
                if prose and not prose[-1].startswith("  "):
                    roff += ".PP\n" + escaped("\n".join(prose)) + "\n"
                    prose = []
            elif prose and prose[-1].startswith("  "):
                roff += verbatim("\n".join(prose))
                prose = []
            prose.append(line)
        if prose:
            roff += verbatim("\n".join(prose)) if prose[-1].startswith("  ") else ".PP\n" + escaped("\n".join(prose)) + "\n"
    return roff


def _declared(inside: str, head: str, comment: str) -> str:
    text = f".TP\n{bold((inside + ': ' if inside else '') + head)}\n{escaped(TAG.split(comment)[0].strip())}\n"
    for heading, roff in parts_of(comment).items():
        if heading != "DESCRIPTION" and roff:
            text += roff.replace(".PP\n", ".br\n" + ("Returns " if heading == "RETURN VALUE" else "")).replace(
                ".TP\n", ".br\n").replace("\\fP\n", "\\fP: ")
    return text


def write_cpp(pages, root) -> None:
    for header in cpp_headers(root):
        file = root / header if (root / header).exists() else root / "abi" / header
        text = file.read_text(encoding="utf-8")
        head = head_of(text)
        what = re.sub(r"^\w+: ", "", head.replace("\n", " "))
        interface = "".join(_declared(*d) for d in documented(text))
        pages.write([page_of(header)], 3, _first_sentence(what), [
            ("SYNOPSIS", verbatim(f'#include "{header}"')), ("DESCRIPTION", _head_roff(head)),
            ("INTERFACE", interface), ("SEE ALSO", f"{bold('ufence')}(7)\n")], title=header)
