"""The list of process-wide state in ARCHITECTURE.md against the writable data of what was built."""

import pathlib
import re
import subprocess

ARCHITECTURE = "ARCHITECTURE.md"
HEADING = "## Process-wide state"
ONLY_SOME = "some builds:"
WRITABLE = re.compile(r"^\.t?(?:bss|data)(?:$|\.(?!rel\.ro))")
# address, flags, section, size, name
SYMBOL = re.compile(r"^[0-9a-f]+ (.{7}) (\S+)\t[0-9a-f]+ +(?:\.hidden )?(.*)$")
# What the compiler and the C library put into every program and library.
NOT_OURS = re.compile(r"^(?:completed\.\d+|__\w+|DW\.ref\.\w+|_\w+|environ|std(?:in|out|err)\b.*"
                      r"|.*@\S+|guard variable for .*|(?:vtable|typeinfo|typeinfo name) for .*)$")


def symbols(binary: str) -> set[str]:
    """Names of writable objects, with their namespaces."""
    listing = subprocess.run(["objdump", "-t", "-C", "-w", binary], check=True, capture_output=True,
                             text=True).stdout
    found = set()
    for line in listing.splitlines():
        match = SYMBOL.match(line)
        if match is None or not WRITABLE.match(match[2]) or match[3].startswith("."):
            continue
        if "d" in match[1] or NOT_OURS.match(match[3]):
            continue
        found.add(match[3])
    return found


def listed(text: str) -> dict[str, tuple[int, bool]]:
    """The names in the first cells of the table: their lines, and whether every build has them."""
    lines = text.split("\n")
    names: dict[str, tuple[int, bool]] = {}
    inside = False
    for number, line in enumerate(lines, 1):
        if line.startswith("## "):
            inside = line == HEADING
        elif inside and line.startswith("| `"):
            for name in re.findall(r"`(\w+)`", line.split("|")[1]):
                names[name] = (number, ONLY_SOME not in line)
    return names


def is_named(symbol: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", symbol) is not None


def compare(found: set[str], names: dict[str, tuple[int, bool]]) -> list[str]:
    findings = [f"{ARCHITECTURE}:1: {symbol} is process-wide state that \"{HEADING[3:]}\" does not "
                "list; list it, or make it an object's"
                for symbol in sorted(found) if not any(is_named(symbol, n) for n in names)]
    findings += [f"{ARCHITECTURE}:{line}: lists {name}, which no program or library has; remove it"
                 for name, (line, everywhere) in names.items()
                 if everywhere and not any(is_named(s, name) for s in found)]
    return findings


def check(root: pathlib.Path, binaries: list[str]) -> list[str]:
    text = (root / ARCHITECTURE).read_text(encoding="utf-8")
    return compare(set().union(*(symbols(b) for b in binaries)), listed(text))
