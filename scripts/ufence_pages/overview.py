"""Section 7: ufence, from the README and the conventions of ufence/ufence.h; ufence-driver, from
ufence/driver.h and the README."""

import re

from ufence_pages.headers import page_of, cpp_headers
from ufence_pages.roff import bold, escaped, inline, markdown, verbatim

SECTIONS = ("Where it fits, and where it does not", "What it does", "When it hangs", "Limits")


def section(readme: str, heading: str) -> str:
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", readme, re.M | re.S)
    if not found:
        raise SystemExit(f"README.md: no section \"{heading}\"")
    return found[1]


def _head(text: str) -> str:
    """The comment that a C header begins with."""
    comment = re.match(r"/\*(.*?)\*/", text, re.S)[1]
    return re.sub(r"\n \* ?", "\n", comment).strip()


def _terms(text: str) -> str:
    """Lines `term  text`, with deeper lines that go on, as a list."""
    roff = ""
    for line in text.split("\n"):
        term = re.match(r" {1,2}(\S+) {2,}(.*)", line)
        if term:
            roff += f".TP\n{bold(term[1])}\n{escaped(term[2])}\n"
        elif line.strip():
            roff += escaped(line.strip()) + "\n"
    return roff


def write(pages, root) -> None:
    readme = (root / "README.md").read_text(encoding="utf-8")
    first = readme.split("\n\n")[1]
    conventions = _head((root / "abi/ufence/ufence.h").read_text(encoding="utf-8")).split("Conventions\n")[1]
    parts = [("DESCRIPTION", ".PP\n" + inline(first) + "\n")]
    parts += [(escaped(heading.upper()), markdown(section(readme, heading))) for heading in SECTIONS]
    parts.append(("CONVENTIONS OF THE C INTERFACE", _terms(conventions)))
    names = [f"{bold(page_of(h))}(3)" for h in cpp_headers(root)]
    parts.append(("SEE ALSO", ",\n".join([f"{bold('ufence')}(1)", f"{bold('ufence-driver')}(7)",
                                          f"{bold('ufence_fence_create')}(3)", *names]) + "\n"))
    pages.write(["ufence"], 7, "completion fences that outlive the module that issued them", parts)

    driver = (root / "abi/ufence/driver.h").read_text(encoding="utf-8")
    prose, rules = _head(driver).split("Rules, cited as D-n")
    rules = rules.split("\n", 1)[1]
    declarations = driver[driver.index("#define UFENCE_ABI_VERSION"):driver.rindex("#ifdef __cplusplus")]
    pages.write(["ufence-driver"], 7, "writing modules whose code may go while their fences stay", [
        ("DESCRIPTION", "".join(".PP\n" + escaped(p) + "\n" for p in prose.strip().split("\n\n"))),
        ("RULES", _terms(rules)), ("EXAMPLE", markdown(section(readme, "Writing a driver"))),
        ("THE HEADER", verbatim(declarations.replace("\t", "    "))),
        ("SEE ALSO", f"{bold('ufence')}(7),\n{bold('ufence_driver.hpp')}(3),\n{bold('ufence-modules')}(1)\n")])
