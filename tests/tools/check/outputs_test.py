"""Reports of hostile names: nothing is executed, broken or lost."""

import csv
import json
import re
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TRAINING, SplitPercentages
from retrain.data_check.findings import Finding
from tests.support import chromium, natural_images
from tools.check import html_report, result_files, text_report
from tools.check.data_check import CheckResult

_NAMES = (
    "<script>alert(1)<",
    "a\"onload='x'&amp;",
    "\u05e9\u05dc\u05d5\u05dd \u202e",
    "line\nbreak",
    "w" * 200,
    "not \udcff utf-8",
)
_BROWSER = chromium.find()


def _result(folder: Path) -> CheckResult:
    images = []
    for class_id, name in enumerate(_NAMES):
        path = folder / name / f"{name[:100]}.jpg"
        path.parent.mkdir(parents=True)
        natural_images.draw(class_id).save(path, "JPEG")
        images.append(ImageFile(path, class_id, TRAINING, 1.0))
    images[0].path.unlink()
    dataset = Dataset(folder, _NAMES, _NAMES, tuple(images), SplitPercentages(10, 10))
    findings = (
        *(
            Finding("mislabelled", (index,), f"looks like {_NAMES[0]}", -0.5, suggested_class=0)
            for index in range(len(_NAMES))
        ),
        Finding("near_duplicate", tuple(range(len(_NAMES))), "correlation 0.99", 0.99),
        Finding("label_collision", classes=_NAMES, detail="6 folders"),
    )
    return CheckResult(dataset, findings, len(images), len(images))


class OutputsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.result = _result(self.folder / "images")

    def test_text_has_one_line_per_finding(self):
        lines = text_report.format_text(self.result, max_listed=3).splitlines()
        self.assertTrue(any(line.endswith("and 3 more") for line in lines))
        self.assertIn("line\\nbreak", text_report.format_text(self.result, max_listed=6))

    def test_json_and_csv_name_every_image(self):
        result_files.write_json(self.folder / "a.json", self.result)
        result_files.write_csv(self.folder / "a.csv", self.result)
        document = json.loads((self.folder / "a.json").read_text())
        paths = [str(Path(name, f"{name[:100]}.jpg")) for name in _NAMES]
        self.assertEqual([f["images"][0]["path"] for f in document["findings"][:6]], paths)
        self.assertEqual(document["findings"][1]["suggested_class"], _NAMES[0])
        self.assertEqual(
            document["counts"], {"label_collision": 1, "mislabelled": 6, "near_duplicate": 1}
        )
        with (self.folder / "a.csv").open(
            encoding="utf-8", errors="surrogateescape", newline=""
        ) as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["image"] for row in rows[:6]], paths)
        self.assertLen(rows, 18)

    def test_html_escapes_names_and_loads_nothing(self):
        html_report.write_html(self.folder / "a.html", self.result)
        text = (self.folder / "a.html").read_text("utf-8")
        self.assertNotIn("<script", text)
        self.assertEmpty(re.findall(r"(?:src|href)=\"(?!data:image/jpeg;base64,|#)", text))
        # All images but the missing one, in the two sections.
        self.assertEqual(text.count("data:image/jpeg"), 10)
        self.assertEqual(text.count("no thumbnail"), 2)

    def test_html_stays_small(self):
        with absltest.mock.patch.object(html_report, "_MAX_THUMBNAIL_BYTES", 9000):
            html_report.write_html(self.folder / "a.html", self.result)
        self.assertLess((self.folder / "a.html").stat().st_size, 40_000)

    @absltest.skipUnless(_BROWSER, "no Chromium here; install it, or run as root with CI set")
    def test_html_fits_a_phone_in_dark_mode(self):
        html_report.write_html(self.folder / "a.html", self.result)
        with chromium.Chromium(_BROWSER) as browser:
            for scheme in ("dark", "light"):
                feature = {"name": "prefers-color-scheme", "value": scheme}
                browser.call("Emulation.setEmulatedMedia", features=[feature])
                browser.open((self.folder / "a.html").as_uri(), width=360, phone=True)
                width = browser.evaluate("document.documentElement.scrollWidth")
                background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
                self.assertEqual(width, 360)
                self.assertEqual(background != "rgb(255, 255, 255)", scheme == "dark")
            errors = [e for e in browser.events if e.get("method") == "Log.entryAdded"]
            self.assertEmpty(errors)


if __name__ == "__main__":
    absltest.main()
