"""Metrics equal their definitions, computed by hand."""

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest

from retrain.training import evaluation
from retrain.training.accuracy_interval import accuracy_interval
from retrain.training.evaluation import ClassScores, Mistake

# Four images of class 0, two of 1, none of 2.
_CLASS_IDS = np.array([0, 0, 0, 0, 1, 1])
_PROBABILITIES = np.array(
    [
        [0.75, 0.25, 0.00],
        [0.75, 0.00, 0.25],
        [0.50, 0.25, 0.25],
        [0.25, 0.75, 0.00],
        [0.25, 0.75, 0.00],
        [0.25, 0.25, 0.50],
    ],
    np.float32,
)


def evaluate(probabilities: npt.ArrayLike, class_ids: npt.ArrayLike) -> Any:
    # Any, because otherwise each test would have to say that its numbers are not None.
    return evaluation.evaluate(np.asarray(probabilities, np.float32), np.asarray(class_ids))


class EvaluateTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.result = evaluate(_PROBABILITIES, _CLASS_IDS)

    def test_accuracy(self):
        self.assertEqual(self.result.count, 6)
        self.assertAlmostEqual(self.result.accuracy, 4 / 6)

    def test_balanced_accuracy_is_of_the_classes_that_occur(self):
        self.assertAlmostEqual(self.result.balanced_accuracy, (3 / 4 + 1 / 2) / 2)

    def test_baseline_is_the_fraction_of_the_majority_class(self):
        self.assertAlmostEqual(self.result.baseline, 4 / 6)

    def test_cross_entropy(self):
        of_truth = [0.75, 0.75, 0.5, 0.25, 0.75, 0.25]
        expected = -sum(math.log(p) for p in of_truth) / 6
        self.assertAlmostEqual(self.result.cross_entropy, expected, places=6)

    def test_calibration_error(self):
        # Four answers at 0.75, of which three are right, and two at 0.5, of which one is.
        self.assertAlmostEqual(self.result.expected_calibration_error, 0, places=6)
        sure = evaluate([[0.9, 0.1]] * 4, [0, 0, 0, 1])
        self.assertAlmostEqual(sure.expected_calibration_error, 0.15, places=6)

    def test_calibration_errors_of_different_bins_do_not_cancel(self):
        # Too sure in one bin and not sure enough in the other.
        result = evaluate([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]], [0, 1, 0, 0])
        self.assertAlmostEqual(result.expected_calibration_error, (0.4 + 0.4) / 2, places=6)

    def test_rows_of_the_confusion_matrix_are_true_classes(self):
        self.assertEqual(self.result.confusion, ((3, 1, 0), (0, 1, 1), (0, 0, 0)))

    def test_metrics_of_each_class(self):
        zero, one, two = self.result.classes
        self.assertEqual(zero, ClassScores(count=4, precision=1, recall=3 / 4, f1=6 / 7))
        self.assertEqual(one, ClassScores(count=2, precision=1 / 2, recall=1 / 2, f1=1 / 2))
        self.assertEqual(two, ClassScores(count=0, precision=0, recall=None, f1=0))

    def test_precision_is_none_if_the_label_is_never_predicted(self):
        result = evaluate([[0.9, 0.1, 0], [0.8, 0.2, 0]], [0, 1])
        self.assertEqual(result.classes[1], ClassScores(count=1, precision=None, recall=0, f1=0))
        self.assertEqual(
            result.classes[2], ClassScores(count=0, precision=None, recall=None, f1=None)
        )

    def test_misclassified_images_are_listed(self):
        self.assertEqual(self.result.misclassified, (Mistake(3, 0, 1, 0.75), Mistake(5, 1, 2, 0.5)))

    def test_a_certain_mistake_has_a_finite_cross_entropy(self):
        result = evaluate([[1, 0]], [1])
        self.assertBetween(result.cross_entropy, 80, 100)

    def test_all_images_with_the_right_label(self):
        result = evaluate(np.eye(3), np.arange(3))
        self.assertEqual((result.accuracy, result.balanced_accuracy), (1, 1))
        self.assertEqual((result.cross_entropy, result.expected_calibration_error), (0, 0))
        self.assertEmpty(result.misclassified)

    def test_the_interval_is_that_of_the_accuracy(self):
        groups = np.array([0, 0, 0, 1, 1, 2])
        result = evaluation.evaluate(_PROBABILITIES, _CLASS_IDS, groups=groups, variance_factor=2)
        right = _PROBABILITIES.argmax(axis=1) == _CLASS_IDS
        self.assertEqual(
            result.interval, accuracy_interval(right, groups=groups, variance_factor=2)
        )


class NoImagesTest(absltest.TestCase):
    def test_fractions_are_none_without_images(self):
        result = evaluation.evaluate(np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
        self.assertEqual(result.count, 0)
        for share in (
            result.accuracy,
            result.interval,
            result.baseline,
            result.balanced_accuracy,
            result.cross_entropy,
            result.expected_calibration_error,
        ):
            self.assertIsNone(share)
        self.assertEqual(result.confusion, ((0, 0), (0, 0)))
        self.assertEqual(result.classes, (ClassScores(0, None, None, None),) * 2)
        self.assertEmpty(result.misclassified)


class JsonTest(absltest.TestCase):
    def test_json_is_lossless(self):
        result = evaluate(_PROBABILITIES, _CLASS_IDS)
        content = json.loads(json.dumps(result.as_json(["a", "b", "c"]), allow_nan=False))
        self.assertEqual(content["count"], 6)
        self.assertEqual(content["accuracy"], result.accuracy)
        self.assertEqual(tuple(content["interval"]), result.interval)
        self.assertEqual(content["confusion"], [[3, 1, 0], [0, 1, 1], [0, 0, 0]])
        self.assertEqual(
            content["classes"]["b"], {"count": 2, "precision": 0.5, "recall": 0.5, "f1": 0.5}
        )
        self.assertIsNone(content["classes"]["c"]["recall"])

    def test_each_class_needs_a_label(self):
        with self.assertRaises(ValueError):
            evaluation.evaluate(_PROBABILITIES, _CLASS_IDS).as_json(["a", "b"])


class WrongArgumentsTest(absltest.TestCase):
    def test_mismatched_shapes_are_refused(self):
        with self.assertRaisesRegex(ValueError, r"\(6, 3\) and \(5,\)"):
            evaluation.evaluate(_PROBABILITIES, _CLASS_IDS[:5])

    def test_unknown_classes_are_refused(self):
        for wrong in (-1, 3):
            with self.assertRaisesRegex(ValueError, f"from 0 to 2, got .*{wrong}"):
                evaluation.evaluate(_PROBABILITIES, np.array([0, 0, 0, 1, 1, wrong]))


if __name__ == "__main__":
    absltest.main()
