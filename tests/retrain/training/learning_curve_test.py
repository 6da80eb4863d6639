"""The learning curve is measured on held-out images, and its estimate is neither bold nor blind."""

from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.bottlenecks.features import Bottlenecks, SplitFeatures
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION, SplitPercentages
from retrain.training.cross_validation import cross_validate
from retrain.training.learning_curve import MeasuredPoints, summarise
from retrain.training.learning_curve_measurement import measure_points, select_subset
from retrain.training_options import HeadOptions


def _right(errors: list[float], count: int = 4000) -> np.ndarray:
    return np.stack([np.arange(count) >= error * count for error in errors])


class SummariseTest(absltest.TestCase):
    def test_a_straight_line_is_continued_more_slowly(self):
        # Each doubling halves the errors: 8, 4, 2 %. If this went on, 1 point would be gained.
        right = _right([0.08, 0.04, 0.02])
        curve = summarise(MeasuredPoints([100, 200, 400], right, np.arange(right.shape[1])))
        self.assertLess(curve.doubled.gain, 0.01)
        self.assertGreater(curve.doubled.gain, 0.005)
        self.assertGreaterEqual(curve.doubled.high, 0.009)
        self.assertLess(curve.doubled.low, curve.doubled.gain)
        self.assertEqual([point.accuracy for point in curve.points], [0.92, 0.96, 0.98])

    def test_a_flat_curve_promises_nothing(self):
        right = _right([0.05, 0.05, 0.05])
        curve = summarise(MeasuredPoints([100, 200, 400], right, np.arange(right.shape[1])))
        self.assertLess(curve.doubled.gain, 0.002)

    def test_there_is_no_estimate_from_a_few_mistakes(self):
        right = _right([0.1, 0.05, 0.01], count=200)
        self.assertIsNone(summarise(MeasuredPoints([1, 2, 4], right, np.arange(200))).doubled)

    def test_no_mistakes_do_not_make_the_accuracy_certain(self):
        measured = MeasuredPoints([1, 2, 4], _right([0.2, 0.1, 0.0], count=100), np.arange(100))
        last = summarise(measured).points[-1]
        self.assertAlmostEqual(last.low, 0.963, delta=0.001)
        self.assertEqual((last.accuracy, last.high), (1, 1))

    def test_groups_make_the_interval_wider(self):
        right = _right([0.2, 0.1, 0.05], count=400)
        ungrouped = summarise(MeasuredPoints([1, 2, 4], right, np.arange(400))).points[-1]
        grouped = summarise(MeasuredPoints([1, 2, 4], right, np.arange(400) // 20)).points[-1]
        self.assertGreater(grouped.high - grouped.low, 2 * (ungrouped.high - ungrouped.low))


class SelectSubsetTest(absltest.TestCase):
    def test_each_class_keeps_two_images_and_subsets_are_nested(self):
        class_ids = np.array([0] * 40 + [1] * 3 + [2])
        ranks = np.random.default_rng(0).permutation(len(class_ids))
        few = select_subset(class_ids, 1 / 8, ranks)
        more = select_subset(class_ids, 1 / 2, ranks)
        self.assertEqual(np.bincount(class_ids[few]).tolist(), [5, 2, 1])
        self.assertEqual(np.bincount(class_ids[more]).tolist(), [20, 2, 1])
        self.assertTrue((more | ~few).all())


class MeasureTest(absltest.TestCase):
    def test_more_images_of_noisy_classes_give_higher_accuracy(self):
        rng = np.random.default_rng(0)
        class_ids = np.arange(400) % 4
        centres = 0.4 * rng.normal(size=(4, 24))
        features = rng.normal(size=(400, 24)) + centres[class_ids]
        images = tuple(
            ImageFile(Path(f"/i/{number}.jpg"), int(class_id), TRAINING, number / 10)
            for number, class_id in enumerate(class_ids)
        )
        names = ("a", "b", "c", "d")
        dataset = Dataset(Path("/i"), names, names, images, SplitPercentages(0, 0))
        part = SplitFeatures(images, features[:, np.newaxis].astype(np.float16), class_ids)
        nothing = part.take(np.zeros(0, np.int64))
        bottlenecks = Bottlenecks(
            dataset, "float32", {TRAINING: part, VALIDATION: nothing, TEST: nothing}, 0, {}
        )
        options = HeadOptions()
        out_of_fold = cross_validate(bottlenecks, options, 4, stage_widths=())
        measured = measure_points(
            bottlenecks, options, out_of_fold, strength=1e-2, stage_widths=(), uses_stages=False
        )
        curve = summarise(measured)
        accuracies = [point.accuracy for point in curve.points]
        self.assertLess(accuracies[0], accuracies[-1] - 0.05)
        last, evaluation = curve.points[-1], out_of_fold.evaluation
        self.assertEqual(
            (last.accuracy, last.low, last.high), (evaluation.accuracy, *evaluation.interval)
        )
        self.assertAlmostEqual(curve.points[-1].images, 300, delta=2)
        self.assertAlmostEqual(curve.points[0].images, 300 / 8, delta=4)
        self.assertEqual(curve.judged, 400)


if __name__ == "__main__":
    absltest.main()
