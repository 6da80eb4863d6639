"""The report tells the truth, in lines that scripts have looked for since 2015."""

import json
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain import report
from retrain.bottlenecks import Bottlenecks
from retrain.clock import Clock
from retrain.config import TrainingConfig
from retrain.evaluation import Evaluation, evaluate
from retrain.images import Dataset, Picture
from retrain.splits import TEST, TRAINING, VALIDATION, Shares

_LABELS = ("cat", "dog")


def _evaluation(right: int, wrong: int) -> Evaluation:
    count = right + wrong
    categories = np.arange(count) % 2
    predicted = np.where(np.arange(count) < right, categories, 1 - categories)
    return evaluate(np.where(np.eye(2, dtype=bool)[predicted], 0.75, 0.25), categories)


class ReportTest(absltest.TestCase):
    def test_the_accuracy_line(self):
        self.assertEqual(
            report.accuracy_line(_evaluation(146, 7)), "Final test accuracy = 95.4% (N=153)"
        )

    def test_no_pictures_no_accuracy(self):
        nothing = evaluate(np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
        self.assertIn("unknown", report.accuracy_line(nothing))
        self.assertEmpty(report.explanation(nothing, _LABELS))

    def test_the_explanation_names_range_baseline_and_confusions(self):
        lines = report.explanation(_evaluation(7, 3), _LABELS)
        self.assertRegex(lines[0], "With 10 test pictures .* 39.7% and 89.2%; .* 50.0%")
        self.assertEqual(lines[1], "Most confused: 2 x dog taken for cat, 1 x cat taken for dog.")

    def test_misclassified_pictures_are_listed_under_the_original_heading(self):
        pictures = [Picture(Path(f"/p/{i}.jpg"), i % 2, TEST, 0.0) for i in range(10)]
        heading, *lines = report.misclassified_lines(_evaluation(9, 1), pictures, _LABELS)
        self.assertEqual(heading, "=== MISCLASSIFIED TEST IMAGES ===")
        self.assertEqual([line.split() for line in lines], [["/p/9.jpg", "cat", "(0.75000)"]])

    def test_the_command_to_label_with_can_be_pasted(self):
        written = [report.Written(Path("/o/g.pb"), "the classifier")]
        lines = report.written_lines(written, Path("/o/g.pb"), Path("/a b/it's.jpg"))
        self.assertIn("  /o/g.pb  the classifier", lines)
        self.assertEndsWith(lines[-1], """--graph=/o/g.pb '/a b/it'"'"'s.jpg'""")

    def test_the_metrics_are_json_with_every_number(self):
        splits = (TRAINING, VALIDATION, TEST)
        pictures = tuple(Picture(Path(f"/p/{i}.jpg"), i % 2, splits[i % 3], 0.0) for i in range(9))
        dataset = Dataset(Path("/p"), _LABELS, ("Cat", "Dog"), pictures, Shares(10, 10))
        features = Bottlenecks(dataset, np.zeros((9, 4), np.float32), 5, {Path("/bad"): "empty"})
        clock = Clock()
        with clock.phase("training"):
            pass
        text = report.metrics(
            TrainingConfig(Path("/p")), features, {TEST: _evaluation(3, 1)}, clock
        )
        numbers = json.loads(text)
        self.assertEqual(numbers["test"]["accuracy"], 0.75)
        self.assertEqual(numbers["test"]["confusion"], [[2, 0], [1, 1]])
        self.assertEqual(numbers["pictures"]["training"], 3)
        self.assertEqual(numbers["pictures"]["bottlenecks_computed"], 5)
        self.assertEqual(numbers["pictures"]["unreadable"], {"/bad": "empty"})
        self.assertEqual(numbers["training"]["steps"], 4000)
        self.assertContainsSubset({"training"}, numbers["seconds"])


if __name__ == "__main__":
    absltest.main()
