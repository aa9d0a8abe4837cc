"""scripts/order_tests.txt: which test notices which weaker order."""

import dataclasses
import pathlib

HEAD = """\
# Which model test fails when a memory order is weaker: `TAG weaker test`, or `TAG weaker - reason` where
# none can. Written by scripts/mutate_orders.py --search; the reasons by people.
"""


@dataclasses.dataclass
class Entry:
    test: str | None
    reason: str = ""


class Table:
    def __init__(self, path: pathlib.Path):
        self.path = path
        self._entries: dict[tuple[str, str], Entry] = {}
        for number, line in enumerate(path.read_text().splitlines() if path.exists() else (), 1):
            if not line or line.startswith("#"):
                continue
            fields = line.split(maxsplit=3)
            if len(fields) == 3 and fields[2] != "-":
                entry = Entry(fields[2])
            elif len(fields) == 4 and fields[2] == "-":
                entry = Entry(None, fields[3])
            else:
                raise SystemExit(f"{path}:{number}: cannot read this; write `TAG weaker test`")
            self._entries[fields[0], fields[1]] = entry

    def get(self, mutant) -> Entry | None:
        return self._entries.get((mutant.tag, mutant.weaker))

    def set(self, mutant, test: str) -> None:
        self._entries[mutant.tag, mutant.weaker] = Entry(test)

    def not_of(self, mutants) -> list[tuple[str, str]]:
        known = {(m.tag, m.weaker) for m in mutants}
        return [key for key in self._entries if key not in known]

    def save(self, mutants) -> None:
        lines = []
        for m in mutants:
            entry = self._entries.get((m.tag, m.weaker))
            line = entry and f"{m.tag} {m.weaker} {entry.test or '- ' + entry.reason}"
            if line and line not in lines:
                lines.append(line)
        self.path.write_text(HEAD + "".join(f"{line}\n" for line in lines))
