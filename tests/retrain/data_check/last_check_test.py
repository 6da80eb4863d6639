"""The start of a training shows the last check of the folder, and whether it is out of date."""

import json
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TRAINING, SplitPercentages
from retrain.data_check import last_check
from retrain.data_check.findings import Finding


def _dataset(*names: str, folder: str = "/images of cats") -> Dataset:
    images = tuple(ImageFile(Path(folder, "cat", name), 0, TRAINING, 1.0) for name in names)
    return Dataset(Path(folder), ("cat",), ("cat",), images, SplitPercentages(10, 10))


class LastCheckTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.cache = Path(self.enter_context(tempfile.TemporaryDirectory()))

    def lines(self, dataset: Dataset) -> list[str]:
        with self.assertLogs(level="INFO") as logs:
            last_check.log_summary(self.cache, dataset)
        return [record.getMessage() for record in logs.records]

    def test_without_a_check_one_line_says_how_to_run_one(self):
        (line,) = self.lines(_dataset("a.jpg"))
        self.assertEndsWith(line, "//tools:check_images -- --image_dir='/images of cats'")

    def test_the_findings_of_this_folder_are_shown(self):
        dataset = _dataset("a.jpg", "b.jpg")
        findings = [Finding("near_duplicate_across_splits", (0, 1))] * 3
        last_check.keep(self.cache, dataset, findings + [Finding("dark", (0,))] * 1200)
        first, second = self.lines(dataset)
        self.assertEndsWith(first, ": 3 near duplicate across splits, 1,200 dark.")
        self.assertStartsWith(second, "Details: ")
        self.assertIn("none yet", self.lines(_dataset("a.jpg", folder="/other"))[0])

    def test_the_images_of_the_first_findings_are_known_while_the_data_set_is_the_same(self):
        dataset = _dataset("a.jpg", "b.jpg")
        a, b = (image.path for image in dataset.images)
        findings = [Finding("duplicate", (1, 0)), *[Finding("dark", (0,))] * 100]
        last_check.keep(self.cache, dataset, [*findings, Finding("imbalance", classes=("cat",))])
        check = last_check.read(self.cache, dataset)
        self.assertEqual(check.examples, {"duplicate": ((b, a),), "dark": ((a,),) * 4})
        self.assertEqual(check.counts, {"duplicate": 1, "dark": 100, "imbalance": 1})
        self.assertEqual(last_check.read(self.cache, _dataset("a.jpg", "c.jpg")).examples, {})

    def test_a_good_data_set_takes_one_line(self):
        dataset = _dataset("a.jpg")
        last_check.keep(self.cache, dataset, ())
        (line,) = self.lines(dataset)
        self.assertEndsWith(line, ": no problems.")

    def test_changed_images_are_mentioned(self):
        last_check.keep(self.cache, _dataset("a.jpg", "b.jpg"), ())
        self.assertEndsWith(
            self.lines(_dataset("a.jpg", "c.jpg"))[0], "The images have changed since: 2 then."
        )

    def test_a_file_of_an_earlier_version_and_one_with_wrong_numbers_are_read_safely(self):
        dataset = _dataset("a.jpg")
        last_check.keep(self.cache, dataset, [Finding("dark", (0,))])
        (file,) = self.cache.iterdir()
        content = json.loads(file.read_text())
        file.write_text(json.dumps({**content, "examples": {"dark": [[7]]}}))
        self.assertIsNone(last_check.read(self.cache, dataset))
        del content["examples"]
        file.write_text(json.dumps(content))
        self.assertEqual(last_check.read(self.cache, dataset).counts, {"dark": 1})

    @parameterized.parameters(b"", b"[]", b"{", b'{"date": 3}', b"[" * 100_000, b"\xff")
    def test_a_damaged_file_counts_as_none(self, content):
        dataset = _dataset("a.jpg")
        last_check.keep(self.cache, dataset, ())
        (file,) = self.cache.iterdir()
        file.write_bytes(content)
        self.assertIn("none yet", self.lines(dataset)[0])


if __name__ == "__main__":
    absltest.main()
