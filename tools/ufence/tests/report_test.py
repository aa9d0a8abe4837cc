"""The page of `ufence report`, in a browser."""

import os
import re
import shutil
import tempfile
import unittest

import browser
import support

STORY = os.environ["UFENCE_STORY_PROGRAM"]


class Page(support.Case):
    def setUp(self):
        super().setUp()
        environment = dict(os.environ, TMPDIR=str(self.folder))
        environment.pop("UFENCE_RECORD", None)
        finished = self.run_ufence("record", "-o", "story.trace", "--", STORY, env=environment)
        self.assert_succeeded(finished)
        self.assert_succeeded(self.run_ufence("report", "story.trace", "-o", "story.html"))
        # Processes of a browser may still write there when it has ended.
        self.profile = tempfile.mkdtemp(prefix="ufence-browser-")
        self.addCleanup(shutil.rmtree, self.profile, ignore_errors=True)
        self.page = (self.folder / "story.html").read_text(encoding="utf-8")

    def test_needs_nothing_from_elsewhere(self):
        self.assertEqual(re.findall(r"""(?:src|href)=|url\(|https?://|import\(|fetch\(""", self.page), [])

    def test_shows_each_fence_and_what_led_to_it(self):
        if browser.PROGRAM is None:
            self.skipTest("there is no chromium")
        shown = browser.Browser(self.profile)
        self.addCleanup(shown.close)
        shown.open(self.folder / "story.html")
        self.assertEqual(shown.ask("count"), 9)
        self.assertIn("Click a fence", shown.ask("card.textContent"))
        before = shown.picture()
        self.assertEqual(before[:8], b"\x89PNG\r\n\x1a\n")
        # The array: on its card are its children, and the one that failed is on its critical path.
        array = shown.ask("data.rows.findIndex(r => r[1] === 'containers')")
        shown.ask(f"go_to(F.row.indexOf({array}))")
        x, y = shown.ask(f"(() => {{ const i = F.row.indexOf({array}), p = place(i), c = canvas.getBoundingClientRect();"
                         "return [c.x + x_of((F.made[i] + end_of(i)) / 2), c.y + p.top + p.tall / 2]; })()")
        shown.ask("choose(-1)")
        shown.click(x, y)
        self.assertEqual(shown.ask("F.row[chosen]"), array)
        card = shown.ask("card.innerText")
        self.assertIn("It depended on", card)
        self.assertIn("Who waited", card)
        self.assertIn("waits", card)
        self.assertEqual(shown.ask("needs.get(chosen).length"), 3)
        self.assertEqual(shown.ask("path.length"), 2)
        self.assertEqual(shown.ask("F.error[path[1]]"), -5)
        self.assertNotEqual(shown.picture(), before)
        # A link on the card leads to that fence.
        x, y = shown.ask("(() => { const r = card.querySelector('a').getBoundingClientRect();"
                         "return [r.x + r.width / 2, r.y + r.height / 2]; })()")
        array_place = shown.ask("chosen")
        shown.click(x, y)
        self.assertNotEqual(shown.ask("chosen"), array_place)
        # The wheel zooms.
        span = shown.ask("to - from")
        shown.wheel(500, 300, -200)
        self.assertLess(shown.ask("to - from"), span)
        self.assertEqual(shown.problems, [])


if __name__ == "__main__":
    unittest.main()
