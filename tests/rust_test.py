#!/usr/bin/env python3
"""rust_test.py ROOT LIBDIR TARGET [--newer]: the crates under rust/, with the distribution's compiler, offline.
With --newer by the one in the folder UFENCE_RUST_NEWER (`scripts/setup rust-newer DIR`); skipped without.

Builds them against the libufence in LIBDIR, runs their tests, and compiles what must not compile
(rust/compile_fail): each of these files names its error first, fails with it and nothing else, and
compiles without the lines that end with `// wrong`, and with what follows `// right:` in others."""

import os
import pathlib
import re
import subprocess
import sys
import unittest

ROOT, LIBDIR, TARGET = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
NEWER = sys.argv[4:] == ["--newer"]
COMPILERS = pathlib.Path(os.environ.get("UFENCE_RUST_NEWER", "") if NEWER else "/")
CARGO, RUSTC, RUSTDOC = (str(COMPILERS / "usr/bin" / name) for name in ("cargo", "rustc", "rustdoc"))
# The newer ones are unpacked, not installed: their libraries are beside them.
LIBRARIES = [str(LIBDIR)] + ([str(path) for path in COMPILERS.glob("usr/lib/*-linux-gnu")] if NEWER else [])
CASES = sorted((ROOT / "rust/compile_fail").glob("*.rs"))
# Whatever other compiler is first in the path, and whatever the caller has set for it.
ENVIRONMENT = {key: value for key, value in os.environ.items()
               if not key.startswith(("CARGO", "RUST"))} | {
    "RUSTC": RUSTC, "RUSTDOC": RUSTDOC, "CARGO_TARGET_DIR": str(TARGET),
    "CARGO_HOME": str(TARGET / "home"), "CARGO_NET_OFFLINE": "true",
    "RUSTFLAGS": f"-D warnings --remap-path-prefix={ROOT}=.",
    "UFENCE_LIB_DIR": str(LIBDIR), "LD_LIBRARY_PATH": ":".join(LIBRARIES),
    "UFENCE_ADDER": str(TARGET / "debug/libadder.so")}


def run(*command: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, env=ENVIRONMENT, cwd=ROOT / "rust", capture_output=True, text=True,
                          check=False, **options)


def cargo(*arguments: str) -> str:
    ran = run(CARGO, *arguments, "--offline", "--locked", "--workspace")
    if ran.returncode:
        raise AssertionError(ran.stdout + ran.stderr)
    return ran.stdout


class Crates(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cargo("build")

    def test_pass_their_tests(self):
        printed = cargo("test")
        passed = sum(int(n) for n in re.findall(r"test result: ok\. (\d+) passed", printed))
        self.assertGreaterEqual(passed, 20, printed)

    def compiles(self, source: str) -> tuple[bool, str]:
        """Whether it does, and what the compiler says."""
        debug = TARGET / "debug"
        ran = run(RUSTC, "--edition", "2021", "--crate-type", "lib", "--emit", "metadata",
                  "-o", str(TARGET / "compile_fail.rmeta"), "--extern", f"ufence={debug}/libufence.rlib",
                  "--extern", f"ufence_driver={debug}/libufence_driver.rlib", "-L", f"{debug}/deps", "-",
                  input=source)
        return ran.returncode == 0, ran.stderr

    def test_what_is_wrong_does_not_compile(self):
        self.assertGreaterEqual(len(CASES), 8)
        for file in CASES:
            with self.subTest(file=file.name):
                text = file.read_text(encoding="utf-8")
                expected = re.match(r"// error: (E\d{4})\n", text)[1]
                good, said = self.compiles(text)
                self.assertFalse(good, "compiles")
                self.assertEqual(set(re.findall(r"^error\[(E\d{4})\]", said, re.MULTILINE)), {expected}, said)
                lines = [line for line in text.split("\n") if not line.endswith("// wrong")]
                right = "\n".join(re.sub(r"^.*// right: ", "", line) for line in lines)
                self.assertNotEqual(right, text)
                good, said = self.compiles(right)
                self.assertTrue(good, said)

    def test_a_thread_of_the_standard_library_is_refused(self):
        """A module with std::thread::spawn does not load: D-13."""
        source = """
            use ufence_driver::*;
            struct Spawner;
            impl Driver for Spawner {
                fn new(_: Services) -> Result<Spawner, Errno> {
                    std::thread::spawn(|| {}).join().map_err(|_| Errno::IO).map(|_| Spawner)
                }
                fn submit(&self, job: Job) { job.signal(Ok(())) }
                fn stop(&self) {}
            }
            ufence_driver!(Spawner, name: "spawner");
        """
        module = TARGET / "spawner.so"
        debug = TARGET / "debug"
        made = run(RUSTC, "--edition", "2021", "--crate-type", "cdylib", "-o", str(module),
                   "--extern", f"ufence_driver={debug}/libufence_driver.rlib", "-L", f"{debug}/deps", "-",
                   input=source)
        self.assertEqual(made.returncode, 0, made.stderr)
        told = run("/usr/bin/python3", "-B", "-c", "import ufence, sys\nufence.Host().load(sys.argv[1])",
                   str(module))
        self.assertNotEqual(told.returncode, 0)
        self.assertIn("D-13: imports pthread_create", told.stderr)


if __name__ == "__main__":
    if NEWER and not COMPILERS.is_absolute():
        print("skipped: no newer Rust in UFENCE_RUST_NEWER")
        sys.exit(77)
    ENVIRONMENT["PYTHONPATH"] = str(ROOT / "python")
    ENVIRONMENT["UFENCE_LIBRARY"] = str(LIBDIR / "libufence.so")
    unittest.main(argv=sys.argv[:1])
