"""ufence-lab from outside: what it prints and writes, and the page in a browser."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

LAB = os.environ["UFENCE_LAB"]
PATIENCE_S = 200  # for what takes seconds on a machine that has nothing else to do
VERDICTS = {"safe", "use-after-free", "null-call", "deadlock", "lost-wakeup", "data-race",
            "wrong-result", "double-run", "not-applicable"}
DESIGNS = ["kernel-7.0", "kernel-7.1", "kernel-7.1-fixed", "flag-last", "locked-callbacks",
           "unlocked-callbacks", "grace-period", "ufence"]


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ufence-lab-test-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def lab(self, *args, status=0):
        done = subprocess.run([LAB, *args], cwd=self.folder, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        self.assertEqual(done.returncode, status, done.stdout[-2000:] + done.stderr)
        return done


class List(Case):
    def test_names_what_can_be_asked_for(self):
        text = self.lab("list").stdout
        for name in ["R1", "R22", "Q3", "Q22", *DESIGNS, "flag-last-B1 to flag-last-B14"]:
            self.assertRegex(text, rf"(?m)^ .*{re.escape(name)}")


class Table(Case):
    def test_has_a_row_for_each_hazard_and_a_column_for_each_design(self):
        lines = self.lab("R1", "R11", "--quiet").stdout.splitlines()
        self.assertEqual(lines[0].split(), ["hazard", *DESIGNS])
        self.assertRegex(lines[1], r"^R1 +names vs detach +use-after-free +null-call +safe \d")
        self.assertRegex(lines[2], r"^R11 +lock inversion +deadlock LC ")
        self.assertIn("L: lock over driver code", lines)
        self.assertIn("flag-last without B6: R1 null-call", lines)
        self.assertIn("flag-last without B7: nothing here", lines)

    def test_is_also_there_in_markdown(self):
        lines = self.lab("R9", "--markdown", "--quiet", "--design", "kernel-7.1", "--design",
                         "ufence", status=1).stdout.splitlines()
        self.assertEqual(lines[:2], ["| hazard | kernel-7.1 | ufence |", "|---|---|---|"])
        self.assertRegex(lines[2], r"^\| R9 timestamp window \| \*\*data-race\*\* \| safe D \|$")

    def test_tells_progress_on_stderr(self):
        done = self.lab("R9", "Q3", "--design", "ufence")
        self.assertIn("2 of 2 explored", done.stderr)
        self.assertNotIn("explored", done.stdout)
        self.assertEqual(self.lab("R9", "Q3", "--design", "ufence", "--quiet").stderr, "")


class Json(Case):
    def test_has_an_object_for_each_cell(self):
        cells = json.loads(self.lab("R3", "R18", "--json").stdout)
        for cell in cells:
            self.assertEqual(list(cell), ["hazard", "design", "verdict", "executions", "exhaustive",
                                          "cost"])
            self.assertIn(cell["verdict"], VERDICTS)
        table = {(cell["hazard"], cell["design"]): cell for cell in cells}
        self.assertEqual(len(table), len(cells))
        self.assertEqual(len(cells), 2 * (len(DESIGNS) + 14))
        self.assertEqual(table["R3", "kernel-7.0"]["verdict"], "use-after-free")
        self.assertEqual(table["R3", "flag-last"]["verdict"], "safe")
        self.assertEqual(table["R3", "flag-last-B5"]["verdict"], "use-after-free")
        self.assertEqual(table["R18", "ufence"]["verdict"], "safe")
        ours = table["R3", "ufence"]
        self.assertEqual((ours["verdict"], ours["exhaustive"]), ("safe", True))
        self.assertGreater(ours["executions"], 1)
        self.assertEqual(ours["cost"], ["defers cleanup to the last op"])


class OneCell(Case):
    def test_shows_each_thread_in_a_column(self):
        text = self.lab("R1", "--design", "kernel-7.1", status=1).stdout
        self.assertIn("R1 names vs detach, kernel-7.1: null-call\n", text)
        head = next(line for line in text.splitlines() if line.split() == ["issuer", "reader"])
        column = head.index("reader")
        detach = next(line for line in text.splitlines() if "writes ops = 0  relaxed" in line)
        look = next(line for line in text.splitlines() if "reads  ops = 0  relaxed" in line)
        self.assertLess(detach.index("writes"), column)
        self.assertEqual(look.index("reads"), column)
        self.assertIn("an op is called through ops that are NULL", text)

    def test_says_how_thorough_it_was_if_safe(self):
        text = self.lab("R3", "--design", "ufence").stdout
        self.assertRegex(text, r"exhaustive search, all there are: \d+ executions")

    def test_is_repeated_by_its_trace(self):
        text = self.lab("R3", "--design", "kernel-7.0", status=1).stdout
        trace = re.search(r"--replay (\S+)", text)[1]
        again = self.lab("R3", "--design", "kernel-7.0", "--replay", trace, status=1).stdout
        self.assertIn("one execution was repeated", again)
        steps = re.compile(r"(?m)^ +\d+ .*$")
        self.assertEqual(steps.findall(again), steps.findall(text))

    def test_is_searched_further_where_it_does_not_end(self):
        text = self.lab("R4", "--design", "ufence", "--seconds", "0.2").stdout
        self.assertRegex(text, r"(bounded|random) search: \d+ executions")


class Mistakes(Case):
    def assert_refused(self, what, *args):
        done = self.lab(*args, status=2)
        self.assertIn(what, done.stderr)
        self.assertEqual(done.stdout, "")

    def test_are_told(self):
        self.assert_refused('no hazard "R99"', "R99")
        self.assert_refused('no hazard "r3"', "r3")
        self.assert_refused('no design "kernel"', "R3", "--design", "kernel")
        self.assert_refused('no design "flag-last-B15"', "--design", "flag-last-B15")
        self.assert_refused("--replay needs one hazard", "--replay", "aab")
        self.assert_refused("--replay needs one hazard", "R3", "--replay", "aab")
        self.assert_refused("--replay", "R3", "--design", "ufence", "--replay", "")
        self.assert_refused("--seconds", "--seconds", "0")
        self.assert_refused("--seconds", "--seconds", "nan")
        self.assert_refused("--jobs", "--jobs", "0")
        self.assert_refused("`list` takes no options", "list", "--json")
        self.assert_refused("--markdown", "--json", "--markdown")
        self.assert_refused("--wrong", "--wrong")

    def test_of_a_trace_that_does_not_fit(self):
        for trace in ["zz", "aab", "!"]:
            done = self.lab("R3", "--design", "ufence", "--replay", trace, status=3)
            self.assertIn("no verdict on R3 of ufence: the trace does not fit", done.stderr)

    def test_of_a_file_that_cannot_be_written(self):
        done = self.lab("R9", "--design", "ufence", "--html", "missing/page.html", status=3)
        self.assertIn("missing/page.html: No such file or directory", done.stderr)


# Clicks like a visitor, and writes down what is to be seen before and after.
VISIT = """<script>
addEventListener("load", () => {
  const seen = () => [...document.querySelectorAll("section.cell")]
      .filter(s => s.getBoundingClientRect().height > 0).map(s => s.id);
  const before = seen();
  document.querySelector('#matrix a[href="#R1.kernel-7.1"]').click();
  setTimeout(() => {
    const rows = [...document.querySelectorAll('section[id="R1.kernel-7.1"] tbody tr')];
    const result = {
      before, after: seen(), rows: rows.length,
      tall: rows.every(r => r.getBoundingClientRect().height > 5),
      wide: document.querySelector("#matrix").getBoundingClientRect().width,
      red: getComputedStyle(document.querySelector("#matrix td.bad")).backgroundColor,
      outside: performance.getEntriesByType("resource").map(e => e.name),
    };
    const out = document.createElement("pre");
    out.id = "visit";
    out.textContent = JSON.stringify(result);
    document.body.append(out);
  }, 0);
});
</script>"""


class Page(Case):
    def chromium(self, *arguments):
        browser = shutil.which("chromium")
        self.assertIsNotNone(browser, "no chromium: run scripts/setup check")
        done = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             f"--user-data-dir={self.folder}/profile", "--virtual-time-budget=5000", *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=PATIENCE_S)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        return done.stdout

    def browse(self, address):
        return self.chromium("--dump-dom", address)

    def photograph(self, address):
        picture = self.folder / "picture.png"
        self.chromium("--hide-scrollbars", "--window-size=1300,900", f"--screenshot={picture}", address)
        return picture.read_bytes()

    def test_is_photographed(self):
        """With UFENCE_PICTURES the whole table, for docs/pictures/lab.png: minutes."""
        kept = os.environ.get("UFENCE_PICTURES")
        self.lab(*([] if kept else ["R1", "R11"]), "--html", "page.html", "--quiet")
        empty = self.folder / "empty.html"
        empty.write_text("<title>nothing</title>")
        table = self.photograph((self.folder / "page.html").as_uri())
        self.assertEqual(table[:8], b"\x89PNG\r\n\x1a\n")
        self.assertGreater(len(table), 5 * len(self.photograph(empty.as_uri())))
        if kept:
            pathlib.Path(kept, "lab.png").write_bytes(table)

    def test_shows_the_trace_of_a_cell_that_is_clicked(self):
        self.lab("R1", "R11", "--html", "page.html", "--quiet")
        page = (self.folder / "page.html").read_text()
        for outside in ["http://", "https://", "src=", "@import", "<link"]:
            self.assertNotIn(outside, page)
        visited = self.folder / "visited.html"
        visited.write_text(page.replace("</body>", VISIT + "</body>"))
        seen = self.browse(visited.as_uri())
        result = json.loads(re.search(r'<pre id="visit">(.*?)</pre>', seen)[1])
        self.assertEqual(result["before"], [])
        self.assertEqual(result["after"], ["R1.kernel-7.1"])
        self.assertGreater(result["rows"], 5)
        self.assertTrue(result["tall"])
        self.assertGreater(result["wide"], 500)
        self.assertNotEqual(result["red"], "rgba(0, 0, 0, 0)")
        self.assertEqual(result["outside"], [])

    def test_opens_at_the_cell_that_its_address_names(self):
        self.lab("R1", "--html", "page.html", "--quiet")
        seen = self.browse((self.folder / "page.html").as_uri() + "#R1.kernel-7.0")
        shown = re.findall(r'<section class="cell" id="([^"]+)">', seen)
        self.assertEqual(shown, ["R1.kernel-7.0"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
