"""The glossary of ARCHITECTURE.md: words that it rules out are not used."""

import re

GLOSSARY = "ARCHITECTURE.md"
HEADING = "## Words"
AREAS = ("layer", "abi", "drivers", "tools", "bench", "examples")


def check(tree) -> None:
    glossary = tree.files.get(GLOSSARY)
    if glossary is None:
        return
    ruled_out = _ruled_out(glossary.text)
    if not ruled_out:
        return
    wrong = re.compile("|".join(rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])" for word in ruled_out),
                       re.IGNORECASE)
    for file in tree.files.values():
        if not (file.is_source and file.area in AREAS) and not file.path.endswith("README.md"):
            continue
        for number, line in enumerate(file.text.split("\n"), 1):
            if match := wrong.search(line):
                word = match[0].lower()
                tree.report(file, number, f"{match[0]}: the word is `{ruled_out[word]}`; see the glossary "
                            f"in {GLOSSARY}")


def _ruled_out(text: str) -> dict[str, str]:
    """Each word that is not used -> the word that is."""
    if HEADING not in text:
        return {}
    table = text.split(HEADING, 1)[1].split("\n## ", 1)[0]
    found = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 3:
            for word in re.findall(r"`([^`]+)`", cells[2]):
                found[word.lower()] = cells[0]
    return found
