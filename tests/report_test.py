"""The report tells the truth, in lines that scripts have looked for since 2015."""

import json
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain import report
from retrain.bottlenecks import Bottlenecks, Part
from retrain.clock import Clock
from retrain.config import TrainingConfig
from retrain.evaluation import Evaluation, evaluate
from retrain.head import Head
from retrain.images import Dataset, Picture
from retrain.splits import TEST, TRAINING, VALIDATION, Shares
from retrain.trained import Trained

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

    def test_balanced_accuracy_is_told_where_categories_differ_in_size(self):
        categories = np.array([0, 0, 0, 0, 0, 1, 1])
        predicted = np.array([0, 0, 0, 0, 0, 0, 1])
        uneven = evaluate(np.eye(2)[predicted], categories)
        lines = report.explanation(uneven, _LABELS)
        self.assertRegex(lines[1], "^Balanced accuracy = 75.0%: .* 2 to 5 test pictures")
        self.assertNotIn("Balanced", " ".join(report.explanation(_evaluation(7, 3), _LABELS)))

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
        part = Part((), np.zeros((0, 1, 4), np.float16), np.zeros(0, np.int64))
        features = Bottlenecks(dataset, "float32", {TEST: part}, 5, {Path("/bad"): "empty"})
        head = Head(np.zeros((4, 2), np.float32), np.zeros(2, np.float32))
        trained = {
            name: Trained(features, head, part, {TEST: _evaluation(right, 1)})
            for name, right in (("int8", 1), ("float32", 3))
        }
        clock = Clock()
        with clock.phase("training"):
            pass
        numbers = json.loads(report.metrics(TrainingConfig(Path("/p")), trained, clock))
        self.assertEqual(numbers["test"]["accuracy"], 0.75)
        self.assertEqual(numbers["test"]["confusion"], [[2, 0], [1, 1]])
        self.assertEqual(numbers["pictures"]["training"], 3)
        self.assertEqual(numbers["engine"], "float32")
        self.assertEqual(numbers["in_int8"]["test"]["accuracy"], 0.5)
        self.assertEqual(numbers["pictures"]["bottlenecks_computed"], 10)
        self.assertEqual(numbers["pictures"]["unreadable"], {"/bad": "empty"})
        self.assertEqual(numbers["training"]["steps"], 4000)
        self.assertContainsSubset({"training"}, numbers["seconds"])


if __name__ == "__main__":
    absltest.main()
