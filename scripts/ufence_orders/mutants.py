"""The weaker orders to try."""

import dataclasses
import pathlib
import re

from ufence_lint import orders, tree

# Not run in the lab: programs, and drivers, which are the host's guests.
LAYER_AREA = "layer"


@dataclasses.dataclass(frozen=True)
class Mutant:
    tag: str
    weaker: str
    path: str
    first_line: int
    last_line: int

    @property
    def environment(self) -> str:
        return f"{self.path}:{self.first_line}-{self.last_line}:{self.weaker}"

    def __str__(self) -> str:
        return f"[{self.tag}] -> {self.weaker} ({self.path}:{self.first_line})"


def weaker_than(order: str, statement: str) -> list[str]:
    if order in ("acquire", "release"):
        return ["relaxed"]
    if order == "acq_rel":
        return ["relaxed", "acquire", "release"]
    below = (
        "acquire" if re.search(r"(\.|->)load\(", statement) else
        "release" if re.search(r"(\.|->)store\(", statement) else "acq_rel")
    return ["relaxed", below]


def of_tree(root: pathlib.Path) -> list[Mutant]:
    found = tree.Tree(root)
    return [Mutant(use.tag, weaker, use.path, use.first_line, use.last_line)
            for use in orders.tagged_uses(found)
            if found.files[use.path].area == LAYER_AREA
            for weaker in weaker_than(use.order, use.statement)]
