"""Atomics go through ufence/base/atomic.h, and each order stronger than relaxed has a tag:

    // [FENCE.2] acquire: see error_; pairs with [FENCE.1]

on a line directly above its statement. A tag is defined once, names the orders that the statement
uses, and pairs with tags that name it in turn, or with somebody outside (a device, a caller) in words.
"""

import dataclasses
import re

DOOR = "ufence/base/atomic.h"
# For C, in the headers that kernel-style programs include.
C_DOOR = "ufence/kernel/linux/ufence.h"
# base is the door and the locks; the lab is the model checker that stands behind the door.
UNTAGGED_LAYERS = ("base", "lab/engine", "lab/models", "lab/designs", "lab/check",
                   "lab/source")
RAW_LAYERS = ("lab/engine", "lab/models", "lab/designs", "lab/check", "lab/source")

ORDER = r"(?:acquire|release|acq_rel|seq_cst)"
USE = re.compile(rf"\bmo::({ORDER})\b")
TAG = r"\[([A-Z][A-Z0-9_]*\.[0-9]+)\]"
DEFINITION = re.compile(rf"^{TAG}\s+({ORDER}(?:(?:\s*[,/]\s*|\s+and\s+|\s+or\s+)(?:{ORDER}|relaxed))*)"
                        r"(?:\s*\([^)]*\))?\s*:")
PAIRS = re.compile(r"\bpairs with\s+(\S.*)")

# Programs that the lab explores, as others write them, and C that stands for the kernel's.
EXPLORED = ("examples/lab/", "lab/check/testing/programs/", "lab/source/service/")

# Stand-alone fences: nowhere else, race detectors do not understand them.
FORBIDDEN = re.compile(
    r"\b(?:std::|__)?atomic_(?:thread|signal)_fence\b|\b__sync_synchronize\b")
# Other atomics: in drivers, tests and the world's baselines, not in the library.
RAW = re.compile(r"\bstd::(?:atomic\w*|memory_order\w*)\b|\b_Atomic\b|\b__(?:atomic|sync)_\w+")
RAW_HEADERS = ("atomic", "stdatomic.h")


@dataclasses.dataclass
class Tag:
    file: object
    line: int
    orders: set[str]
    has_pairs: bool
    pairs: list[str]
    used: set[str] = dataclasses.field(default_factory=set)


def check(tree) -> None:
    for file in tree.sources:
        _check_door(tree, file)
    tags: dict[str, Tag] = {}
    files = [f for f in tree.sources if _has_tags(f)]
    for file in files:
        _collect(tree, file, tags)
    for file in files:
        if file.part not in UNTAGGED_LAYERS:
            _check_uses(tree, file, tags)
    _check_tags(tree, tags)


@dataclasses.dataclass(frozen=True)
class TaggedUse:
    """An order in a statement that has a tag for it."""
    tag: str
    order: str
    path: str
    first_line: int  # of the statement
    last_line: int
    statement: str


def tagged_uses(tree) -> list[TaggedUse]:
    """All of them in a tree that keeps the rules, by tag."""
    found = {}
    for file in (f for f in tree.sources if _has_tags(f) and f.part not in UNTAGGED_LAYERS):
        tags: dict[str, Tag] = {}
        _collect(tree, file, tags)
        source = file.source
        for use in USE.finditer(source.code):
            start = source.statement_line(use.start())
            lines = [*source.comments_above(start), *range(start, source.line_of(use.start()))]
            above = [n for n, t in tags.items() if t.line in lines and use[1] in t.orders]
            end = re.compile(r"[;{]").search(source.code, use.end())
            last = source.line_of(end.start() if end else use.end())
            for name in above[-1:]:
                text = " ".join("\n".join(source.code.split("\n")[start - 1:last]).split())
                key = (name, use[1], start)
                found[key] = TaggedUse(name, use[1], file.path, start, last, text)
    return sorted(found.values(), key=lambda u: (u.tag.split(".")[0], int(u.tag.split(".")[1]),
                                                 u.path, u.first_line, u.order))


def _has_tags(file) -> bool:
    return file.area in ("layer", "tools") and not file.is_test


def _check_door(tree, file) -> None:
    if file.path in (DOOR, C_DOOR) or file.path.startswith(EXPLORED):
        return
    for match in FORBIDDEN.finditer(file.source.code):
        tree.report(file, file.source.line_of(match.start()),
                    f"uses {match[0]}; give the order to an access instead")
    if not _has_tags(file) or file.part in RAW_LAYERS:
        return
    for line, _, name in file.source.includes:
        if name in RAW_HEADERS:
            tree.report(file, line, f"includes <{name}>; include \"{DOOR}\"")
    for match in RAW.finditer(FORBIDDEN.sub(lambda m: " " * len(m[0]), file.source.code)):
        tree.report(file, file.source.line_of(match.start()),
                    f"uses {match[0]}; use ufence::atomic and mo:: from {DOOR}")


def _collect(tree, file, tags: dict[str, Tag]) -> None:
    source = file.source
    line = 1
    while line <= source.line_count():
        match = DEFINITION.match(source.comment(line) or "")
        if match is None:
            line += 1
            continue
        name, first = match[1], line
        text = [source.comment(line)]
        line += 1
        while (more := source.comment(line)) is not None and not DEFINITION.match(more):
            text.append(more)
            line += 1
        if name in tags:
            there = tags[name]
            tree.report(file, first, f"defines [{name}], as {there.file.path}:{there.line} does; "
                        "take the next free number")
            continue
        pairs = PAIRS.search(" ".join(text))
        tags[name] = Tag(file, first, set(re.findall(ORDER, match[2])), pairs is not None,
                         re.findall(TAG, pairs[1]) if pairs else [])


def _check_uses(tree, file, tags: dict[str, Tag]) -> None:
    source = file.source
    by_line = {tag.line: (name, tag) for name, tag in tags.items() if tag.file is file}
    for use in USE.finditer(source.code):
        line, start = source.line_of(use.start()), source.statement_line(use.start())
        lines = [*source.comments_above(start), *range(start, line)]
        above = [by_line[n] for n in lines if n in by_line]
        for _, tag in above:
            tag.used.add(use[1])
        if not any(use[1] in tag.orders for _, tag in above):
            named = ", ".join(f"[{name}]" for name, _ in above)
            tree.report(file, line, f"mo::{use[1]} without a tag" +
                        (f" (above it: {named}, for other orders)" if named else "") +
                        f"; write `// [NAME.n] {use[1]}: why; pairs with [NAME.m]` above the statement")


def _check_tags(tree, tags: dict[str, Tag]) -> None:
    for name, tag in tags.items():
        if tag.file.part not in UNTAGGED_LAYERS:
            for order in sorted(tag.orders - tag.used):
                tree.report(tag.file, tag.line, f"[{name}] says {order}, but the statement below has no "
                            f"mo::{order}; mend or remove the tag")
        if not tag.has_pairs:
            tree.report(tag.file, tag.line, f"[{name}] pairs with nothing; say `pairs with [NAME.n]`")
        for other in tag.pairs:
            if other not in tags:
                tree.report(tag.file, tag.line, f"[{name}] pairs with [{other}], which does not exist; "
                            "mend the name")
            elif name not in tags[other].pairs:
                tree.report(tag.file, tag.line, f"[{name}] pairs with [{other}], which does not say so; "
                            f"add [{name}] at {tags[other].file.path}:{tags[other].line}")
