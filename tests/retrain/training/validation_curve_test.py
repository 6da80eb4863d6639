"""A validation curve has the predictions of heads of all strengths for held-out images."""

import numpy as np
from absl.testing import absltest

from retrain.training.history import MetricSeries
from retrain.training.logistic_regression import STRENGTHS, fit_path
from retrain.training.training_set import TrainingSet
from retrain.training.validation_curve import ValidationCurve, measure_validation_curves


def _training_set(count: int = 60) -> TrainingSet:
    rng = np.random.default_rng(0)
    class_ids = np.arange(count) % 3
    features = 2 * np.eye(3, 8)[class_ids] + rng.normal(size=(count, 8))
    return TrainingSet(features.astype(np.float32), class_ids, class_count=3, stage_widths=(2,))


class MeasureTest(absltest.TestCase):
    def test_each_image_is_judged_by_heads_that_were_fitted_without_it(self):
        training = _training_set()
        folds = [np.arange(60) % 4 == fold for fold in range(2)]
        validation = training.features[:5] + 1, training.class_ids[:5]
        (curve,) = measure_validation_curves([training], validation, folds)
        self.assertEqual(curve.logits.shape, (len(STRENGTHS), 15 + 15 + 5, 3))
        # The first fold holds out its images, and the first, third and fifth of the others.
        first = np.vstack([training.features[folds[0]], validation[0][::2]])
        heads = fit_path(training.select_images(~folds[0]))
        for logits, head in zip(curve.logits, heads, strict=True):
            np.testing.assert_array_equal(logits[: 15 + 3], head.logits(first))
        np.testing.assert_array_equal(curve.class_ids[:15], training.class_ids[folds[0]])
        self.assertEqual(curve.class_ids[15:18].tolist(), [0, 2, 1])

    def test_curves_of_several_sets_use_their_own_features(self):
        training = _training_set()
        validation = training.features, training.class_ids
        nothing = [np.zeros(60, bool)]
        sets = [training.without_stages(), training]
        together = measure_validation_curves(sets, validation, nothing)
        for one, curve in zip(sets, together, strict=True):
            self.assertIs(curve.training, one)
            (one_part,) = measure_validation_curves([one], validation, nothing)
            np.testing.assert_array_equal(curve.logits, one_part.logits)


class ValidationCurveTest(absltest.TestCase):
    def curve(self, losses) -> ValidationCurve:
        logits = np.zeros((len(STRENGTHS), 2, 3), np.float32)
        logits[3, 0, 1] = 1
        train = MetricSeries((0.0,) * len(STRENGTHS), (0.0,) * len(STRENGTHS))
        return ValidationCurve(_training_set(), np.array([1, 0]), logits, losses, train)

    def test_the_best_strength_has_the_smallest_cross_entropy(self):
        losses = np.ones((len(STRENGTHS), 2), np.float32)
        losses[2] = (0.1, 1.2)
        self.assertEqual(self.curve(losses).best(), 2)

    def test_the_history_has_means_over_all_images(self):
        losses = np.ones((len(STRENGTHS), 2), np.float32)
        losses[3] = (0.25, 0.75)
        history = self.curve(losses).history(3, "held-out folds")
        self.assertEqual(history.selected, STRENGTHS[3])
        self.assertEqual(history.validation.accuracy, (0.5, 0.5, 0.5, 1.0, 0.5))
        self.assertEqual(history.validation.cross_entropy, (1, 1, 1, 0.5, 1))


if __name__ == "__main__":
    absltest.main()
