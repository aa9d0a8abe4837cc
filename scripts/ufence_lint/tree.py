"""The repository as the rules see it: its files, each with its area, and the layers."""

import dataclasses
import os
import pathlib
import re

from ufence_lint import source

SKIPPED = {".git", ".cache", "__pycache__", "build"}  # folders; .git is a file in a worktree
SOURCE_SUFFIXES = {".h", ".hpp", ".c", ".cc", ".cpp"}
TEST_NAME = re.compile(r"_test(_support)?\.(cc|h)$")
LAYERS_FILE = "scripts/layers.txt"
PUBLIC_FILE = "scripts/public_headers.txt"


@dataclasses.dataclass(frozen=True)
class Finding:
    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


class File:
    """One text file. `area` is layer, testing, abi, drivers, tools, bench, examples, tests or other;
    `part` is the folder below it: the layer (with "lab/" before those of the lab), the driver, the tool."""

    def __init__(self, path: str, text: str):
        self.path = path
        self.text = text
        folders = path.split("/")[:-1]
        self.is_source = pathlib.PurePosixPath(path).suffix in SOURCE_SUFFIXES
        self.is_test = bool(TEST_NAME.search(path)) or "testing" in folders or "tests" in folders
        self.part = folders[1] if len(folders) > 1 else ""
        self.area = "other"
        if folders[:2] == ["ufence", "testing"]:
            self.area = "testing"
        elif folders[:1] == ["ufence"] and self.part:
            self.area = "layer"
        elif folders[:1] == ["lab"] and self.part:
            self.area = "layer"
            self.part = f"lab/{self.part}"
        elif folders and folders[0] in ("abi", "drivers", "tools", "bench", "examples", "tests"):
            self.area = folders[0]
        self._source = None

    @property
    def source(self) -> "source.Source":
        if self._source is None:
            self._source = source.Source(self.text)
        return self._source


class Tree:
    def __init__(self, root: pathlib.Path):
        self.findings: list[Finding] = []
        self.files: dict[str, File] = {}
        self._load(root)
        self.sources = [f for f in self.files.values() if f.is_source]
        self.reaches = self._read_layers()
        self.public = self._read_public()

    def report(self, file: File, line: int, what: str) -> None:
        self.findings.append(Finding(file.path, line, what))

    def _load(self, root: pathlib.Path) -> None:
        for folder, subfolders, names in os.walk(root):
            subfolders[:] = sorted(s for s in subfolders if s not in SKIPPED)
            for name in sorted(n for n in names if n not in SKIPPED):
                full = pathlib.Path(folder, name)
                path = full.relative_to(root).as_posix()
                try:
                    self.files[path] = File(path, full.read_text(encoding="utf-8"))
                except (UnicodeDecodeError, OSError):
                    continue  # not text, a dangling link, or gone meanwhile

    def _read_layers(self) -> dict[str, set[str]]:
        """layer -> itself and what it may use, transitively."""
        reaches: dict[str, set[str]] = {}
        file = self.files.get(LAYERS_FILE)
        if file is None:
            self.findings.append(Finding(LAYERS_FILE, 1, "missing; it names the layers"))
            return reaches
        for number, line in enumerate(file.text.splitlines(), 1):
            if not line or line.startswith("#"):
                continue
            match = re.fullmatch(r"([a-z_/]+):((?: +[a-z_/]+)*) +-> +[a-z-]+ *", line)
            if match is None:
                self.report(file, number, "cannot read this; write `layer: layer layer -> library`")
                continue
            layer, uses = match[1], match[2].split()
            reaches[layer] = {layer}
            for used in uses:
                if used not in reaches:
                    self.report(file, number, f"uses {used}, which no line above it declares; "
                                "put the lower layer first")
                reaches[layer] |= reaches.get(used, set())
        return reaches

    def _read_public(self) -> set[str]:
        public = set()
        file = self.files.get(PUBLIC_FILE)
        if file is None:
            self.findings.append(Finding(PUBLIC_FILE, 1, "missing; it names the public headers"))
            return public
        for number, line in enumerate(file.text.splitlines(), 1):
            if not line or line.startswith("#"):
                continue
            if line not in self.files:
                self.report(file, number, f"there is no {line}; remove the line or mend the name")
            elif line in public:
                self.report(file, number, f"{line} is named twice; remove one")
            public.add(line)
        return public
