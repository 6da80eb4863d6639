"""The text report states the accuracy in the lines that scripts have read since 2015."""

import shlex
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.bottlenecks.features import Bottlenecks
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION, SplitPercentages
from retrain.export.formats import WrittenFile
from retrain.report import text_report
from retrain.training.cross_validation import OutOfFold
from retrain.training.evaluation import Evaluation, evaluate

_LABELS = ("cat", "dog")


def _evaluation(right: int, wrong: int) -> Evaluation:
    count = right + wrong
    class_ids = np.arange(count) % 2
    predicted = np.where(np.arange(count) < right, class_ids, 1 - class_ids)
    return evaluate(np.where(np.eye(2, dtype=bool)[predicted], 0.75, 0.25), class_ids)


def _dataset(*counts: int) -> Dataset:
    splits = (TRAINING, VALIDATION, TEST)
    images = tuple(
        ImageFile(Path(f"/p/{class_id}/{i}.jpg"), class_id, splits[i % 3], 0.0)
        for class_id, count in enumerate(counts)
        for i in range(count)
    )
    return Dataset(Path("/p"), _LABELS, ("Cat", "Dog"), images, SplitPercentages(10, 10))


class ReportTest(absltest.TestCase):
    def test_the_accuracy_line(self):
        self.assertEqual(
            text_report.accuracy_line(_evaluation(146, 7)), "Final test accuracy = 95.4% (N=153)"
        )

    def test_without_mistakes_the_list_says_none(self):
        lines = text_report.misclassified_lines(_evaluation(4, 0), [], _LABELS)
        self.assertEqual(lines, ["=== MISCLASSIFIED TEST IMAGES ===", "none"])

    def test_an_accuracy_below_the_baseline_is_pointed_out(self):
        for right, expected in ((3, True), (5, False), (8, False)):
            lines = text_report.explain_accuracy(_evaluation(right, 10 - right), _dataset(9, 9))
            self.assertEqual(any("below the baseline" in line for line in lines), expected)

    def test_without_test_images_the_accuracy_is_unknown(self):
        nothing = evaluate(np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
        self.assertIn("unknown", text_report.accuracy_line(nothing))
        self.assertEmpty(text_report.explain_accuracy(nothing, _dataset(9, 9)))

    def test_the_explanation_has_interval_baseline_and_confusions(self):
        lines = text_report.explain_accuracy(_evaluation(7, 3), _dataset(9, 18))
        self.assertRegex(lines[0], "With 10 test images, .* 39.7% and 89.2%. .* 50.0%")
        self.assertEqual(lines[1], "Most confused: 2 x dog as cat, 1 x cat as dog.")

    def test_balanced_accuracy_is_printed_if_classes_differ_in_size(self):
        class_ids = np.array([0, 0, 0, 0, 0, 1, 1])
        predicted = np.array([0, 0, 0, 0, 0, 0, 1])
        uneven = evaluate(np.eye(2)[predicted], class_ids)
        lines = text_report.explain_accuracy(uneven, _dataset(60, 29))
        self.assertRegex(lines[1], "^Balanced accuracy = 75.0%: .* which have 29 to 60 images")
        # The sizes of the whole data set count, not those of the few test images.
        self.assertNotIn(
            "Balanced", " ".join(text_report.explain_accuracy(uneven, _dataset(60, 30)))
        )

    def test_the_cross_validated_accuracy_is_on_one_line(self):
        def lines(evaluation: Evaluation, **options) -> list[str]:
            nothing = np.zeros(0)
            result = OutOfFold((), nothing, nothing, nothing, nothing, 5, (), evaluation)
            return text_report.cross_validation_lines(result, **options)

        (line,) = lines(_evaluation(146, 7))
        self.assertStartsWith(
            line, "Cross-validated accuracy = 95.4% (N=153), likely between 90.9%"
        )
        self.assertIn("5 classifiers", line)
        (line,) = lines(_evaluation(146, 7), pretrained=True)
        self.assertStartsWith(line, "Cross-validated accuracy without fine-tuning = 95.4%")
        (line,) = lines(evaluate(np.zeros((0, 2), np.float32), np.zeros(0, np.int64)))
        self.assertStartsWith(line, "Cross-validated accuracy is unknown")
        self.assertEmpty(text_report.cross_validation_lines(None))

    def test_the_bottlenecks_line_adds_up(self):
        def line(computed: int, reused: int) -> str:
            return Bottlenecks(_dataset(9, 9), "int8", {}, computed, {}, reused).summary()

        self.assertEqual(line(1234, 5), "Bottlenecks: 1,234 computed by int8, 5 from the cache.")
        self.assertEqual(line(0, 18), "Bottlenecks: 0 computed, 18 from the cache.")

    def test_misclassified_images_are_listed_under_the_heading_of_2015(self):
        images = [ImageFile(Path(f"/p/{i}.jpg"), i % 2, TEST, 0.0) for i in range(10)]
        heading, *lines = text_report.misclassified_lines(_evaluation(9, 1), images, _LABELS)
        self.assertEqual(heading, "=== MISCLASSIFIED TEST IMAGES ===")
        self.assertEqual([line.split() for line in lines], [["/p/9.jpg", "cat", "(0.75000)"]])

    def test_the_command_to_label_an_image_can_be_pasted(self):
        written = [WrittenFile(Path("/o/g.pb"), "the classifier")]
        lines = text_report.written_lines(written, Path("/o/g.pb"), Path("/a b/it's.jpg"))
        self.assertIn("  /o/g.pb  the classifier", lines)
        self.assertEndsWith(lines[-1], """--graph=/o/g.pb '/a b/it'"'"'s.jpg'""")
        *_, command = text_report.written_lines(written, Path("/my o/g.pb"), Path("/a.jpg"))
        self.assertEqual(shlex.split(command)[-2:], ["--graph=/my o/g.pb", "/a.jpg"])


if __name__ == "__main__":
    absltest.main()
