"""Results are written in three formats, and read again from each."""

import csv
import json
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from tools.guess import results_file
from tools.guess.results_file import Result
from tools.guess.summary import Summary

_LABELS = ("a", 'b, "c"\n', "語")
_RESULTS = (
    Result("/s/1.jpg", "/t/a.jpg", "moved", "a", 0.5, None, dict.fromkeys(_LABELS, 1 / 3)),
    Result('/s/new\nline, "2".jpg', "/t/語.jpg", "moved", "語", 1.0, None, {"a": 0.0}),
    Result("/s/\udcff.jpg", "/t/\udcff.jpg", "copied", "a", 0.25),
    Result("/s/bad.jpg", error="it is damaged"),
)


class ResultsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, format_: str, results=_RESULTS) -> Path:
        path = self.folder / f"results{format_}"
        results_file.write(path, format_, iter(results), _LABELS)
        return path

    @parameterized.parameters(*results_file.FORMATS)
    def test_paths_are_read_as_they_were_written(self, format_: str):
        read = list(results_file.read(self.write(format_)))
        self.assertEqual(
            [(r.image, r.filed, r.action) for r in read],
            [(r.image, r.filed, r.action) for r in _RESULTS],
        )
        self.assertEmpty(list(results_file.read(self.write(format_, results=()))))

    def test_json_has_the_scores_of_all_labels(self):
        by_json = json.loads(self.write(".json").read_text(encoding="utf-8"))
        lines = self.write(".jsonl").read_text(encoding="utf-8").splitlines()
        self.assertEqual([json.loads(line) for line in lines], by_json)
        self.assertEqual(by_json[0]["scores"], dict.fromkeys(_LABELS, 1 / 3))
        self.assertEqual(by_json[1]["label"], "語")
        self.assertEqual(by_json[3], {"picture": "/s/bad.jpg", "error": "it is damaged"})

    def test_csv_has_a_column_for_each_label(self):
        with self.write(".csv").open(encoding="utf-8", errors="replace", newline="") as file:
            heads, first, *_, last = csv.reader(file)
        self.assertEqual(heads[6:], [f"score of {label}" for label in _LABELS])
        self.assertEqual([float(score) for score in first[6:]], [1 / 3] * 3)
        self.assertEqual(last[:6], ["/s/bad.jpg", "", "", "", "", "it is damaged"])

    @parameterized.parameters(
        (".json", "{}"),
        (".json", '{"image": 1}'),
        (".json", "[1]"),
        (".json", '[{"image": "a", "filed": 3, "action": "moved"}]'),
        (".jsonl", "text"),
        (".jsonl", '{"image": "a", "filed": "b", "action": "burnt"}'),
        (".csv", "a,b\n1,2\n"),
        (".csv", "a,b\n"),
        (".csv", "picture,filed,action\na,,moved\n"),
    )
    def test_other_files_are_refused(self, format_: str, text: str):
        path = self.folder / f"other{format_}"
        path.write_text(text)
        with self.assertRaisesRegex(
            UserError, f"^--undo={path} is not a file that --results wrote; name one that is$"
        ):
            list(results_file.read(path))
        with self.assertRaisesRegex(
            UserError,
            f"^--results={path} is there already, is none that guess_dir wrote, and is not "
            "written over; name another file$",
        ):
            results_file.check_replaceable(path, ())

    def test_a_missing_file(self):
        with self.assertRaisesRegex(UserError, "cannot be read: No such file"):
            list(results_file.read(self.folder / "none.csv"))

    @parameterized.parameters(*results_file.FORMATS)
    def test_only_the_run_that_wrote_them_may_write_them_again(self, format_: str):
        path = self.write(format_)
        results_file.check_replaceable(path, iter(_RESULTS))
        for others in ((), _RESULTS[1:], _RESULTS[:-1], (*_RESULTS, *_RESULTS)):
            with self.assertRaisesRegex(UserError, f"--results={path} has the record of an earl"):
                results_file.check_replaceable(path, iter(others))

    @parameterized.parameters(*results_file.FORMATS)
    def test_what_says_of_no_filed_image_may_be_written_over(self, format_: str):
        path = self.folder / f"new{format_}"
        results_file.check_replaceable(path, ())
        path.touch()
        results_file.check_replaceable(path, ())
        planned = Result("/s/1.jpg", "/t/a.jpg", "planned", "a", 0.5)
        results_file.check_replaceable(self.write(format_, (planned, _RESULTS[-1])), ())

    def test_the_format_is_told_by_the_name(self):
        for name in ("results", "results.txt", "json"):
            with self.assertRaisesRegex(UserError, "name end with .json, .csv or .jsonl"):
                results_file.check_format(Path(name))
        results_file.check_format(Path("results.JSON"))

    def test_the_summary_counts_what_passes_through(self):
        summary = Summary()
        self.assertEqual(list(summary.counting(_RESULTS)), list(_RESULTS))
        self.assertEqual((summary.filed, summary.left), (3, 1))
        self.assertEqual(
            summary.table(),
            "class  images  mean score\n"
            "a                2       0.375\n"
            f"{'語':8}         1       1.000\n"
            "in all           3",
        )


if __name__ == "__main__":
    absltest.main()
