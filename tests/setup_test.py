#!/usr/bin/env python3
"""Runs scripts/setup with stand-ins for dpkg-query, apt-get, id and sudo that write down their use."""

import os
import pathlib
import subprocess
import tempfile
import unittest

SETUP = pathlib.Path(__file__).resolve().parent.parent / "scripts" / "setup"

DPKG_QUERY = """for p in "$@"; do
  case " $MISSING " in *" $p "*) ;; *) case $p in -*) ;; *) printf '%s:installed ' "$p" ;; esac ;; esac
done
case "$MISSING" in '') ;; *) exit 1 ;; esac
"""
APT_GET = """echo "apt-get $*" >>"$CALLS"
case "$* $(cat "$CALLS")" in
  *" update"*) exit 0 ;;
esac
[ -z "$OLD_LISTS" ] || { echo "E: Unable to locate package" >&2; exit 100; }
"""


class Setup(unittest.TestCase):
    def run_setup(self, *arguments, missing="", user="0", old_lists="", tools=("apt-get",)):
        with tempfile.TemporaryDirectory() as folder:
            calls = pathlib.Path(folder, "calls")
            scripts = {"dpkg-query": DPKG_QUERY, "id": f"echo {user}\n"}
            if "apt-get" in tools:
                scripts["apt-get"] = APT_GET
            if "sudo" in tools:
                scripts["sudo"] = 'echo sudo >>"$CALLS"\nexec "$@"\n'
            bin_folder = pathlib.Path(folder, "bin")
            bin_folder.mkdir()
            for name, text in scripts.items():
                (bin_folder / name).write_text("#!/bin/sh\n" + text)
                (bin_folder / name).chmod(0o755)
            for name in ("bash", "env", "sh", "mktemp", "rm", "sed", "tail", "cat"):
                os.symlink(f"/bin/{name}" if os.path.exists(f"/bin/{name}") else f"/usr/bin/{name}",
                           bin_folder / name)
            done = subprocess.run(
                ["bash", str(SETUP), *arguments], capture_output=True, text=True,
                env={"PATH": str(bin_folder), "CALLS": str(calls), "MISSING": missing,
                     "OLD_LISTS": old_lists})
            return done, calls.read_text().splitlines() if calls.exists() else []

    def test_silent_if_nothing_is_missing(self):
        done, calls = self.run_setup()
        self.assertEqual((done.returncode, done.stdout, done.stderr, calls), (0, "", "", []))

    def test_installs_only_what_is_missing(self):
        done, calls = self.run_setup(missing="ninja-build clang-19")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(calls), 1)
        self.assertTrue(calls[0].endswith("install --no-install-recommends ninja-build clang-19"), calls)
        self.assertIn("installing ninja-build clang-19", done.stderr)

    def test_run_does_not_want_what_only_check_needs(self):
        done, calls = self.run_setup("run", missing="ninja-build clang-19 libgtest-dev")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(calls[0].endswith("--no-install-recommends ninja-build"), calls)

    def test_fetches_the_lists_only_if_it_must(self):
        done, calls = self.run_setup(missing="cmake", old_lists="yes")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([c.split()[5] for c in calls], ["install", "update", "install"])

    def test_uses_sudo_for_others_than_root(self):
        done, calls = self.run_setup(missing="cmake", user="1000", tools=("apt-get", "sudo"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(calls[0], "sudo")

    def test_says_what_to_do_without_root_and_sudo(self):
        done, calls = self.run_setup(missing="cmake", user="1000")
        self.assertEqual((done.returncode, calls), (1, []))
        self.assertIn("as root, run\n  apt-get install --no-install-recommends cmake", done.stderr)

    def test_shows_why_it_failed(self):
        done, _ = self.run_setup(missing="cmake", tools=())
        self.assertEqual(done.returncode, 1)
        self.assertIn("apt-get", done.stderr)
        self.assertIn("could not install", done.stderr)

    def test_usage(self):
        done, _ = self.run_setup("everything")
        self.assertEqual(done.returncode, 2)
        self.assertIn("scripts/setup check", done.stderr)


if __name__ == "__main__":
    unittest.main()
