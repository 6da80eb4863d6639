"""Results are written in three formats and read from each of them."""

import csv
import json
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from tools.transfers import results_file, results_writer
from tools.transfers.plan import Plan
from tools.transfers.results_file import ImageRecord
from tools.transfers.results_writer import SortedRun

_LABELS = ("a", 'b, "c"\n', "語")
_DIGEST = "0123456789abcdef" * 4
_RUN = SortedRun(Path("/s"), Path("/t"), "moved", _LABELS)
_PLANS = (
    Plan("1.jpg", "a.jpg", "a", 0.5, None, [1 / 3] * 3, _DIGEST),
    Plan('new\nline, "2".jpg', "語.jpg", "語", 1.0, None, [0.0]),
    Plan("\udcff.jpg", "\udcff.jpg", "a", 0.25),
    Plan("bad.jpg", error="it is damaged"),
)
_RECORDS = (
    ImageRecord("/s/1.jpg", "/t/a.jpg", "moved", _DIGEST),
    ImageRecord('/s/new\nline, "2".jpg', "/t/語.jpg", "moved"),
    ImageRecord("/s/\udcff.jpg", "/t/\udcff.jpg", "moved"),
    ImageRecord("/s/bad.jpg"),
)


class ResultsFileTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, format_: str, plans=_PLANS, **changes) -> Path:
        path = self.folder / f"results{format_}"
        results_writer.write(path, iter(plans), _RUN._replace(**changes), format_=format_)
        return path

    @parameterized.parameters(*results_file.FORMATS)
    def test_records_are_read_as_they_were_written(self, format_: str):
        self.assertEqual(tuple(results_file.read(self.write(format_))), _RECORDS)
        self.assertEmpty(list(results_file.read(self.write(format_, plans=()))))

    def test_a_file_that_changed_is_refused(self):
        path = self.write(".json")
        digest = results_file.digest(path)
        self.assertLen(list(results_file.read(path, sha256=digest)), 4)
        path.write_text(path.read_text(errors="replace").replace("/t/a.jpg", "/t/b.jpg"))
        with self.assertRaisesRegex(UserError, "cannot be read: it is being changed"):
            list(results_file.read(path, sha256=digest))

    def test_json_contains_the_scores_of_all_labels(self):
        by_json = json.loads(self.write(".json").read_text(encoding="utf-8"))
        lines = self.write(".jsonl").read_text(encoding="utf-8").splitlines()
        self.assertEqual([json.loads(line) for line in lines], by_json)
        self.assertEqual(by_json[0]["scores"], dict.fromkeys(_LABELS, 1 / 3))
        self.assertEqual(by_json[1]["label"], "語")
        self.assertEqual(
            by_json[3],
            {"image": "/s/bad.jpg", "picture": "/s/bad.jpg", "error": "it is damaged"},
        )

    def test_csv_has_a_score_column_for_each_label(self):
        with self.write(".csv").open(encoding="utf-8", errors="replace", newline="") as file:
            header, first, *_, last = csv.reader(file)
        self.assertEqual(header[:6], ["picture", "filed", "action", "label", "score", "error"])
        self.assertEqual(header[6:9], [f"score of {label}" for label in _LABELS])
        self.assertEqual([float(score) for score in first[6:9]], [1 / 3] * 3)
        self.assertEqual((header[9], first[9], last[9]), ("sha256", _DIGEST, ""))
        self.assertEqual(last[:6], ["/s/bad.jpg", "", "", "", "", "it is damaged"])

    def test_familiarities_are_written_after_the_columns_of_earlier_versions(self):
        familiarities = ((0.125, False), (0.001, True), (None, False))
        plans = [
            Plan(f"{number}.jpg", f"{number}.jpg", "a", 0.5, None, (), _DIGEST, *values)
            for number, values in enumerate(familiarities)
        ]
        with self.write(".csv", plans).open(newline="") as file:
            rows = list(csv.reader(file))
        self.assertEqual(
            [row[9:] for row in rows],
            [
                ["sha256", "familiarity", "unknown"],
                [_DIGEST, "0.125", "false"],
                [_DIGEST, "0.001", "true"],
                [_DIGEST, "", ""],
            ],
        )
        first, second, third = json.loads(self.write(".json", plans).read_text())
        self.assertEqual((first["familiarity"], first["unknown"]), (0.125, False))
        self.assertEqual((second["familiarity"], second["unknown"]), (0.001, True))
        self.assertNoCommonElements(third, ["familiarity", "unknown"])

    @parameterized.parameters(
        (".json", "{}"),
        (".json", '{"image": 1}'),
        (".json", '[{"picture": 1}]'),
        (".json", "[1]"),
        (".json", '[{"image": "a", "filed": 3, "action": "moved"}]'),
        (".jsonl", "text"),
        (".jsonl", '{"picture": "a", "filed": "b", "action": "burnt"}'),
        (".csv", "a,b\n1,2\n"),
        (".csv", "a,b\n"),
        (".csv", "picture,filed,action\na,,moved\n"),
    )
    def test_other_files_are_refused(self, format_: str, text: str):
        path = self.folder / f"other{format_}"
        path.write_text(text)
        with self.assertRaisesRegex(
            UserError, f"^--undo={path} was not written by --results; choose a file that was$"
        ):
            list(results_file.read(path))
        with self.assertRaisesRegex(
            UserError,
            f"^--results={path} already exists and was not written by guess_dir, so it is not "
            "overwritten; choose another file$",
        ):
            results_file.check_replaceable(path, ())

    def test_a_missing_file_is_refused(self):
        with self.assertRaisesRegex(UserError, "cannot be read: No such file"):
            list(results_file.read(self.folder / "missing.csv"))

    @parameterized.parameters(*results_file.FORMATS)
    def test_only_the_run_that_wrote_a_file_can_replace_it(self, format_: str):
        path = self.write(format_)
        results_file.check_replaceable(path, iter(_RECORDS))
        for others in ((), _RECORDS[1:], _RECORDS[:-1], (*_RECORDS, *_RECORDS)):
            with self.assertRaisesRegex(UserError, f"--results={path} has the record of an earl"):
                results_file.check_replaceable(path, iter(others))

    @parameterized.parameters(*results_file.FORMATS)
    def test_files_without_transferred_images_can_be_replaced(self, format_: str):
        path = self.folder / f"new{format_}"
        results_file.check_replaceable(path, ())
        path.touch()
        results_file.check_replaceable(path, ())
        results_file.check_replaceable(self.write(format_, action="planned"), ())
        results_file.check_replaceable(self.write(format_, _PLANS[-1:]), ())

    def test_the_suffix_selects_the_format(self):
        for name in ("results", "results.txt", "json"):
            with self.assertRaisesRegex(UserError, "a name that ends with .json, .csv or .jsonl"):
                results_file.check_format(Path(name))
        results_file.check_format(Path("results.JSON"))

    def test_a_json_file_of_an_earlier_version_is_read(self):
        path = self.folder / "old.json"
        path.write_text('[{"picture": "/s/1.jpg", "filed": "/t/a.jpg", "action": "moved"}]')
        expected = [ImageRecord("/s/1.jpg", "/t/a.jpg", "moved")]
        self.assertEqual(list(results_file.read(path)), expected)


if __name__ == "__main__":
    absltest.main()
