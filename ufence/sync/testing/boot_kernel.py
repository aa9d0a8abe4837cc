"""boot_kernel.py INIT: runs INIT as the only program of Debian's kernel in a virtual machine.

Passes if INIT's last line says "passed". The machine is emulated: no KVM, no privileges. It takes
qemu-system-x86_64, and the files of a linux-image package in $UFENCE_KERNEL:

    scripts/setup kernel build/kernel
    UFENCE_KERNEL=$PWD/build/kernel ctest --test-dir build/release -L kernel

Without them it is skipped (exit code 77).
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
MODULES = ("drm", "drm_shmem_helper", "vgem")  # in the order of loading
TIMEOUT_S = 240


def skip(why: str) -> None:
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def cpio_entry(name: str, data: bytes, mode: int) -> bytes:
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def initrd(files: dict[str, bytes]) -> bytes:
    entries = [cpio_entry(name, data, 0o100755) for name, data in files.items()]
    return b"".join(entries) + cpio_entry("TRAILER!!!", b"", 0)


def main() -> None:
    root = os.environ.get("UFENCE_KERNEL")
    if not root:
        skip("UFENCE_KERNEL is not set")
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        skip("there is no qemu-system-x86_64")
    images = sorted(pathlib.Path(root).glob("boot/vmlinuz-*"))
    if not images:
        skip(f"there is no boot/vmlinuz-* in {root}")
    files = {"init.bin": pathlib.Path(sys.argv[1]).read_bytes()}
    for module in MODULES:
        found = sorted(pathlib.Path(root).glob(f"lib/modules/*/kernel/drivers/gpu/drm/**/{module}.ko"))
        if not found:
            skip(f"there is no {module}.ko in {root}")
        files[f"{module}.ko"] = found[-1].read_bytes()
    arguments = " ".join(f"/{module}.ko" for module in MODULES)
    with tempfile.NamedTemporaryFile() as file:
        file.write(initrd(files))
        file.flush()
        run = subprocess.run(
            [qemu, "-kernel", str(images[-1]), "-initrd", file.name, "-append",
             f"console=ttyS0 quiet panic=-1 rdinit=/init.bin -- {arguments}", "-nographic",
             "-no-reboot", "-m", "512", "-nodefaults", "-serial", "stdio"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=TIMEOUT_S, check=False)
    output = run.stdout.decode(errors="replace")
    print(output)
    sys.exit(0 if "kernel_files: passed" in output else 1)


if __name__ == "__main__":
    main()
