"""A training writes its report and the table of predictions together with the classifier."""

import csv
import json
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from tests.support import programs
from tests.support.python_code import run_python


class ReportMainTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.images = programs.draw_colours(cls.folder / "my pictures")
        # One wrong label, so that there is a mistake to show.
        shutil.copy(next((cls.images / "Red").iterdir()), cls.images / "Green" / "wrong.png")
        cls.report, cls.table = cls.folder / "run.html", cls.folder / "scores.csv"
        cls.done = programs.run(
            "retrain",
            f"--image_dir={cls.images}",
            *programs.outputs(cls.folder),
            f"--report={cls.report}",
            f"--predictions={cls.table}",
            f"--metrics_json={cls.folder}/metrics.json",
            "--group_by=none",
        )
        assert cls.done.returncode == 0, cls.done.stderr

    def test_the_output_lists_the_report(self):
        self.assertRegex(self.done.stdout, f"{self.report} +the report of this run, for browsers")
        self.assertRegex(self.done.stdout, f"{self.table} +all scores of the held-out images")

    def test_the_report_has_the_mistake_with_heat_maps_and_the_command(self):
        text = self.report.read_text("utf-8")
        self.assertIn("Green/wrong.png", text)
        self.assertIn('alt="Heat map for green"', text)
        self.assertIn(f"--image_dir={self.folder}/my pictures", text)
        accuracy = json.loads((self.folder / "metrics.json").read_text())["cross_validation"]
        self.assertIn(f"{100 * accuracy['accuracy']:.1f}%", text)

    def test_the_table_has_every_image(self):
        with self.table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        files = {
            str(path.relative_to(self.images)) for path in self.images.rglob("*") if path.is_file()
        }
        self.assertEqual({row["image"] for row in rows if row["by"] != "exported"}, files)

    def test_a_run_without_a_report_does_not_import_what_it_needs(self):
        code = (
            "import sys, retrain.pipeline; "
            "print({'jinja2', 'matplotlib', 'retrain.report.html.page'} & set(sys.modules))"
        )
        done = run_python(code)
        self.assertEqual(done.stdout.strip(), "set()")


if __name__ == "__main__":
    absltest.main()
