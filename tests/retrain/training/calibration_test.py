"""Calibration makes scores match the accuracy, and changes no label."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.runtimes.head import Head, softmax
from retrain.training import calibration
from retrain.training.calibration import fit_temperature
from retrain.training.evaluation import evaluate
from retrain.training.step_metrics import Examples

_CLASSES = 4


def examples(count: int, seed: int = 0) -> Examples:
    """Returns logits, and classes sampled from their softmax."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((count, _CLASSES), np.float32)
    # The index of the largest logit with Gumbel noise is a sample from the softmax.
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def head(confidence: float) -> Head:
    """Returns a head that scales the logits of `examples` by `confidence` and shifts them."""
    bias = np.float32(0.3) * np.arange(_CLASSES, dtype=np.float32)
    return Head(np.float32(confidence) * np.eye(_CLASSES, dtype=np.float32), bias)


def calibrated(layer: Head, held_out: Examples) -> Head:
    return calibration.calibrate(layer, layer.logits(held_out[0]), held_out[1])


def correct(count: int, gap: float) -> Examples:
    """Returns logits that are right for every image, by `gap`."""
    class_ids = np.arange(count) % _CLASSES
    return gap * np.eye(_CLASSES, dtype=np.float32)[class_ids], class_ids


def cross_entropy(logits: np.ndarray, class_ids: np.ndarray) -> float:
    of_truth = softmax(logits.astype(np.float64))[np.arange(len(class_ids)), class_ids]
    return float(-np.log(of_truth).sum())


class TemperatureTest(parameterized.TestCase):
    @parameterized.parameters(0.25, 0.5, 1.0, 3.0, 10.0)
    def test_temperature_is_the_factor_of_overconfidence(self, confidence):
        logits, class_ids = examples(5000)
        self.assertAlmostEqual(
            fit_temperature(confidence * logits, class_ids) / confidence, 1, delta=0.1
        )

    def test_temperature_maximises_the_likelihood(self):
        for seed in range(10):
            logits, class_ids = examples(300, seed)
            logits = logits * np.float32(0.3 * (seed + 1))
            found = fit_temperature(logits, class_ids)
            best = cross_entropy(logits / found, class_ids)
            for other in np.geomspace(1 / 20, 20, 200):
                # Less than one nat, that others are not preferred for being near to 1.
                penalty = (np.log(other) ** 2 - np.log(found) ** 2) / 2
                self.assertLess(best, cross_entropy(logits / other, class_ids) + penalty + 1e-3)

    def test_temperature_never_lowers_the_likelihood(self):
        for seed in range(50):
            logits, class_ids = examples(1 + seed % 7, seed)
            before = cross_entropy(4 * logits, class_ids)
            after = cross_entropy(4 * logits / fit_temperature(4 * logits, class_ids), class_ids)
            self.assertLessEqual(after, before + 1e-5)

    @parameterized.parameters(1, 2, 5, 10, 30)
    def test_few_images_that_are_all_correct_do_not_make_scores_certain(self, count):
        for gap in (0.5, 2, 4):
            logits, class_ids = correct(count, gap)
            found = fit_temperature(logits, class_ids)
            self.assertBetween(found, 1 / 15, 0.999)
            # As many more of them might bring a mistake at last.
            doubt = 1 - softmax(logits / found).max(axis=1)
            self.assertGreater(doubt.min(), 0.01 / count)

    @parameterized.parameters(1, 10, 1000)
    def test_temperature_is_one_if_scores_are_certain_and_correct(self, count):
        self.assertAlmostEqual(fit_temperature(*correct(count, 100)), 1, delta=0.01)

    def test_temperature_is_bounded_if_all_images_are_correct(self):
        found = [fit_temperature(*correct(count, 2)) for count in (10, 100, 1000, 100_000)]
        self.assertEqual(found, sorted(found, reverse=True))
        self.assertBetween(found[-1], 1 / 20, 1)

    def test_one_wrong_image_gives_a_moderate_temperature(self):
        logits, class_ids = correct(1, 5)
        self.assertBetween(fit_temperature(logits, class_ids + 1), 1.001, 10)

    def test_temperature_is_bounded_for_huge_logits(self):
        logits, class_ids = correct(40, 1e6)
        for wrong in (1, 20, 40):
            truth = np.where(np.arange(40) < wrong, (class_ids + 1) % _CLASSES, class_ids)
            self.assertBetween(fit_temperature(logits, truth), 19, 20.001)

    def test_temperature_ignores_a_constant_added_to_all_logits(self):
        logits, class_ids = examples(100)
        more = np.linspace(-2000, 2000, 100, dtype=np.float32)[:, np.newaxis]
        self.assertAlmostEqual(
            fit_temperature(logits + more, class_ids), fit_temperature(logits, class_ids), places=2
        )


class CalibratedTest(parameterized.TestCase):
    @parameterized.parameters(0.3, 3.0, 8.0)
    def test_scores_of_other_images_match_their_accuracy(self, confidence):
        features, class_ids = examples(4000, seed=1)
        before = head(confidence)
        after = calibrated(before, examples(1000, seed=2))
        errors = [
            evaluate(one.probabilities(features), class_ids).expected_calibration_error
            for one in (before, after)
        ]
        self.assertGreater(errors[0], 0.1)
        self.assertLess(errors[1], 0.04)

    @parameterized.parameters(0.3, 3.0)
    def test_no_label_changes(self, confidence):
        features, _ = examples(20_000, seed=1)
        before = head(confidence)
        after = calibrated(before, examples(200, seed=2))
        self.assertFalse(np.array_equal(before.weights, after.weights))
        np.testing.assert_array_equal(
            before.logits(features).argmax(axis=1), after.logits(features).argmax(axis=1)
        )

    def test_weights_and_bias_are_divided_by_the_same_number_and_stay_float32(self):
        before = head(3)
        after = calibrated(before, examples(200))
        divisor = fit_temperature(before.logits(examples(200)[0]), examples(200)[1])
        np.testing.assert_allclose(after.weights * divisor, before.weights, rtol=1e-5)
        np.testing.assert_allclose(after.bias * divisor, before.bias, rtol=1e-5)
        self.assertEqual((after.weights.dtype, after.bias.dtype), (np.float32, np.float32))

    def test_calibrating_twice_changes_little(self):
        validation = examples(1000)
        once = calibrated(head(3), validation)
        np.testing.assert_allclose(calibrated(once, validation).weights, once.weights, rtol=0.02)

    def test_without_images_the_head_is_unchanged(self):
        before = head(3)
        self.assertIs(calibrated(before, examples(0)), before)

    def test_features_may_be_float16(self):
        features, class_ids = examples(500)
        found = calibrated(head(3), (features.astype(np.float16), class_ids))
        wanted = calibrated(head(3), (features, class_ids))
        np.testing.assert_allclose(found.weights, wanted.weights, rtol=0.01)


if __name__ == "__main__":
    absltest.main()
