"""Calibrated scores are as often right as they say, and no answer is another for it."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.runtimes.head import Head, softmax
from retrain.training import calibration
from retrain.training.calibration import temperature
from retrain.training.evaluation import evaluate
from retrain.training.sgd import Examples

_CLASSES = 4


def examples(count: int, seed: int = 0) -> Examples:
    """Returns logits, and categories that are as likely as those say."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((count, _CLASSES), np.float32)
    # The largest of logits with Gumbel's noise is drawn from their softmax.
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def head(sureness: float) -> Head:
    """Returns one whose logits are those of `examples`, times `sureness`, and shifted a little."""
    bias = np.float32(0.3) * np.arange(_CLASSES, dtype=np.float32)
    return Head(np.float32(sureness) * np.eye(_CLASSES, dtype=np.float32), bias)


def calibrated(layer: Head, unseen: Examples) -> Head:
    return calibration.calibrated(layer, layer.logits(unseen[0]), unseen[1])


def right(count: int, gap: float) -> Examples:
    """Returns logits that are right about every picture, by `gap`."""
    categories = np.arange(count) % _CLASSES
    return gap * np.eye(_CLASSES, dtype=np.float32)[categories], categories


def cross_entropy(logits: np.ndarray, categories: np.ndarray) -> float:
    of_truth = softmax(logits.astype(np.float64))[np.arange(len(categories)), categories]
    return float(-np.log(of_truth).sum())


class TemperatureTest(parameterized.TestCase):
    @parameterized.parameters(0.25, 0.5, 1.0, 3.0, 10.0)
    def test_is_by_how_much_the_head_is_too_sure(self, sureness):
        logits, categories = examples(5000)
        self.assertAlmostEqual(temperature(sureness * logits, categories) / sureness, 1, delta=0.1)

    def test_makes_the_pictures_likeliest(self):
        for seed in range(10):
            logits, categories = examples(300, seed)
            logits = logits * np.float32(0.3 * (seed + 1))
            found = temperature(logits, categories)
            best = cross_entropy(logits / found, categories)
            for other in np.geomspace(1 / 20, 20, 200):
                # Less than one nat, that others are not preferred for being near to 1.
                penalty = (np.log(other) ** 2 - np.log(found) ** 2) / 2
                self.assertLess(best, cross_entropy(logits / other, categories) + penalty + 1e-3)

    def test_never_makes_the_pictures_less_likely(self):
        for seed in range(50):
            logits, categories = examples(1 + seed % 7, seed)
            before = cross_entropy(4 * logits, categories)
            after = cross_entropy(4 * logits / temperature(4 * logits, categories), categories)
            self.assertLessEqual(after, before + 1e-5)

    @parameterized.parameters(1, 2, 5, 10, 30)
    def test_of_few_pictures_that_are_all_right_leaves_doubt(self, count):
        for gap in (0.5, 2, 4):
            logits, categories = right(count, gap)
            found = temperature(logits, categories)
            self.assertBetween(found, 1 / 15, 0.999)
            # As many more of them might bring a mistake at last.
            doubt = 1 - softmax(logits / found).max(axis=1)
            self.assertGreater(doubt.min(), 0.01 / count)

    @parameterized.parameters(1, 10, 1000)
    def test_of_pictures_that_are_surely_right_is_one(self, count):
        self.assertAlmostEqual(temperature(*right(count, 100)), 1, delta=0.01)

    def test_of_many_pictures_that_are_all_right_has_an_end(self):
        found = [temperature(*right(count, 2)) for count in (10, 100, 1000, 100_000)]
        self.assertEqual(found, sorted(found, reverse=True))
        self.assertBetween(found[-1], 1 / 20, 1)

    def test_of_one_picture_that_is_wrong_is_moderate(self):
        logits, categories = right(1, 5)
        self.assertBetween(temperature(logits, categories + 1), 1.001, 10)

    def test_of_numbers_without_measure_has_an_end(self):
        logits, categories = right(40, 1e6)
        for wrong in (1, 20, 40):
            truth = np.where(np.arange(40) < wrong, (categories + 1) % _CLASSES, categories)
            self.assertBetween(temperature(logits, truth), 19, 20.001)

    def test_does_not_depend_on_what_all_logits_of_a_picture_have_more(self):
        logits, categories = examples(100)
        more = np.linspace(-2000, 2000, 100, dtype=np.float32)[:, np.newaxis]
        self.assertAlmostEqual(
            temperature(logits + more, categories), temperature(logits, categories), places=2
        )


class CalibratedTest(parameterized.TestCase):
    @parameterized.parameters(0.3, 3.0, 8.0)
    def test_scores_of_other_pictures_mean_what_they_say(self, sureness):
        features, categories = examples(4000, seed=1)
        before = head(sureness)
        after = calibrated(before, examples(1000, seed=2))
        errors = [
            evaluate(one.probabilities(features), categories).expected_calibration_error
            for one in (before, after)
        ]
        self.assertGreater(errors[0], 0.1)
        self.assertLess(errors[1], 0.04)

    @parameterized.parameters(0.3, 3.0)
    def test_no_answer_changes(self, sureness):
        features, _ = examples(20_000, seed=1)
        before = head(sureness)
        after = calibrated(before, examples(200, seed=2))
        self.assertFalse(np.array_equal(before.weights, after.weights))
        np.testing.assert_array_equal(
            before.logits(features).argmax(axis=1), after.logits(features).argmax(axis=1)
        )

    def test_weights_and_bias_are_divided_alike_and_stay_float32(self):
        before = head(3)
        after = calibrated(before, examples(200))
        divisor = temperature(before.logits(examples(200)[0]), examples(200)[1])
        np.testing.assert_allclose(after.weights * divisor, before.weights, rtol=1e-5)
        np.testing.assert_allclose(after.bias * divisor, before.bias, rtol=1e-5)
        self.assertEqual((after.weights.dtype, after.bias.dtype), (np.float32, np.float32))

    def test_twice_is_about_once(self):
        validation = examples(1000)
        once = calibrated(head(3), validation)
        np.testing.assert_allclose(calibrated(once, validation).weights, once.weights, rtol=0.02)

    def test_without_pictures_nothing_changes(self):
        before = head(3)
        self.assertIs(calibrated(before, examples(0)), before)

    def test_features_may_be_float16(self):
        features, categories = examples(500)
        found = calibrated(head(3), (features.astype(np.float16), categories))
        wanted = calibrated(head(3), (features, categories))
        np.testing.assert_allclose(found.weights, wanted.weights, rtol=0.01)


if __name__ == "__main__":
    absltest.main()
