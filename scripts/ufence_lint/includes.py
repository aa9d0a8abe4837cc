"""Who may include what: layers downwards only, drivers the driver headers only, programs the public
headers only."""

import posixpath

ABI = ("ufence/driver.h", "ufence/driver.hpp", "ufence/ufence.h")
CONSUMER_ABI = "ufence/ufence.h"
PROGRAM_AREAS = ("tools", "bench", "examples")
# What the lab's programs share with the command.
PROGRAM_LIBRARY = ("tools/command_line/command_line.h", "tools/command_line/output_file.h")

DRIVER_JOBS = ("ufence/drivers/cpu.h", "ufence/drivers/uring.h")  # installed under these names


def check(tree) -> None:
    for file in tree.sources:
        if file.area == "tests":
            continue  # programs outside of the tree
        for line, bracket, name in file.source.includes:
            what = _judge(tree, file, bracket, name)
            if what:
                tree.report(file, line, what)


def _judge(tree, file, bracket: str, name: str) -> str | None:
    is_test_module = "testing" in str(file.path).split("/")  # what users' drivers may do
    if name.startswith("urcu") and file.part != "rcu" and not is_test_module:
        return f"includes <{name}>; RCU is reached through \"ufence/rcu/rcu.h\" only"
    if name in DRIVER_JOBS and file.area == "examples":
        return None
    if name in ABI:
        return _judge_abi(tree, file, name)
    if not name.startswith(("ufence/", "lab/")):
        return _judge_other(tree, file, bracket, name)
    if bracket == "<":
        return f"includes <{name}>; write \"{name}\""
    folders = name.split("/")
    used = _folder_of(folders) if len(folders) > 2 else ""
    if used == "testing" or "testing" in folders:
        if not file.is_test:
            return f"includes {name}, which is for tests only; move what you need out of it"
        used = _folder_of(folders)
    if used not in tree.reaches and used != "testing":
        return f"includes {name}, but {used or 'that'} is no layer of scripts/layers.txt"
    if file.area == "layer":
        return _judge_layer(tree, file, name, used)
    if file.area in ("abi", "drivers") and not file.is_test:
        return (f"includes {name}; a driver sees <ufence/driver.h> and <ufence/driver.hpp> only, "
                "what it needs from the host goes through them")
    if file.area in PROGRAM_AREAS and not file.is_test and name not in tree.public:
        return (f"includes {name}, which is not public; use a public header, or make it public in "
                "scripts/public_headers.txt")
    if name not in tree.files:
        return f"includes {name}, which does not exist"
    return None


def _folder_of(folders: list[str]) -> str:
    """The layer of an include line, as File.part has it."""
    return folders[1] if folders[0] == "ufence" else "/".join(folders[:2])


def _judge_abi(tree, file, name: str) -> str | None:
    if name == CONSUMER_ABI and file.area == "drivers" and not file.is_test:
        return f"includes {name}, which is for consumers; a driver sees <ufence/driver.h>"
    if file.area == "layer" and "module" not in tree.reaches.get(file.part, ()):
        return (f"includes {name}; layer {file.part} knows nothing of modules, only module and "
                "what may use it does")
    return None


def _judge_layer(tree, file, name: str, used: str) -> str | None:
    if file.part not in tree.reaches:
        return f"folder {file.part} is no layer; add it to scripts/layers.txt"
    if used != "testing" and used not in tree.reaches[file.part]:
        return (f"layer {file.part} includes {name}, but may use only "
                f"{' '.join(sorted(tree.reaches[file.part]))}; see scripts/layers.txt")
    if name not in tree.files:
        return f"includes {name}, which does not exist"
    if file.path in tree.public and name not in tree.public:
        return (f"is public and includes {name}, which is not; name it in "
                "scripts/public_headers.txt too, or include it from the .cc only")
    return None


def _judge_other(tree, file, bracket: str, name: str) -> str | None:
    """System and third-party headers, and quoted names from other folders."""
    if bracket == "<":
        return None
    here = posixpath.dirname(file.path)
    if file.path.startswith("lab/") and "/program/" in file.path and name in PROGRAM_LIBRARY:
        return None
    if file.area in ("layer", "testing"):
        if f"{here}/{name}" in tree.files:
            return f"includes \"{name}\"; write the full path, \"{here}/{name}\""
        return f"includes \"{name}\"; a layer includes \"ufence/...\" and <system headers>"
    if file.area == "drivers" and name.startswith("drivers/") and not file.is_test:
        if not name.startswith((f"drivers/{file.part}/", "drivers/common/")):
            return f"includes {name}; a driver does not use another's files"
    return None
