"""Section 1, from what `ufence describe` prints."""

from ufence_pages.roff import bold, escaped


def write(pages, description: dict) -> None:
    _write_command(pages, description, [description["name"]])


def _write_command(pages, command: dict, path: list[str]) -> None:
    first, _, rest = command["text"].partition("\n")
    parts = [("SYNOPSIS", _synopsis(command, path)), ("DESCRIPTION", _paragraphs(rest or first.rstrip(".") + ".")),
             ("OPTIONS", "".join(_option(o) for o in command["options"])),
             ("COMMANDS", "".join(_subcommand(s, path) for s in command["subcommands"]))]
    footer = command["footer"].strip()
    notes, mark, status = footer.rpartition("Exit status: ")
    parts += [("NOTES", _paragraphs(notes)), ("EXIT STATUS", _paragraphs(status if mark else ""))]
    others = [path[:-1]] if len(path) > 1 else []
    others += [[*path, sub["name"]] for sub in command["subcommands"]]
    see = [f"{bold('-'.join(other))}(1)" for other in others] + [f"{bold('ufence')}(7)"]
    parts.append(("SEE ALSO", ",\n".join(see) + "\n"))
    pages.write(["-".join(path)], 1, first.rstrip(".:"), parts)
    for sub in command["subcommands"]:
        _write_command(pages, sub, [*path, sub["name"]])


def _paragraphs(text: str) -> str:
    lines = [line for line in text.strip().split("\n") if line]
    return "".join(f".PP\n{escaped(line)}\n" for line in lines)


def _synopsis(command: dict, path: list[str]) -> str:
    words = [bold(" ".join(path)), "[OPTIONS]"]
    for option in command["options"]:
        if option["positional"]:
            word = escaped(option["argument"])
            words.append(word if option["required"] else f"[{word}]")
    if command["subcommands"]:
        words.append("COMMAND" if path == ["ufence"] else "")
    return " ".join(words).rstrip() + "\n"


def _option(option: dict) -> str:
    names = ", ".join(bold(name) for name in option["names"])
    argument = f"\\fI{escaped(option['argument'])}\\fP" if "argument" in option else ""
    text = escaped(option["text"]) + "."
    if "range" in option:
        text += f" {escaped(option['range'])}."
    if "default" in option:
        text += f" Default: {escaped(option['default'])}."
    return f".TP\n{' '.join(part for part in (names, argument) if part)}\n{text}\n"


def _subcommand(sub: dict, path: list[str]) -> str:
    first = sub["text"].split("\n")[0]
    return f".TP\n{bold(sub['name'])}\n{escaped(first)}. See {bold('-'.join([*path, sub['name']]))}(1).\n"
