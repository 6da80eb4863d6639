"""Stochastic gradient descent trains a head, and always the same one for the same arguments."""

import dataclasses
import os
import re
import subprocess
import sys
import warnings

import numpy as np
from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.runtimes.head import Head
from retrain.training import sgd
from retrain.training.step_metrics import StepMetrics
from retrain.training_options import HeadOptions

_WIDTH = 8
_NO_EXAMPLES = (np.zeros((0, _WIDTH), np.float32), np.zeros(0, np.int64))

_HASH_OF_A_HEAD = """
import hashlib
import numpy as np
from retrain.training import sgd
from retrain.training_options import HeadOptions

rng = np.random.default_rng(3)
examples = rng.random((500, 1280), np.float32), np.arange(500) % 7
trained = sgd.train(examples, examples, 7, HeadOptions(steps=200))
print(hashlib.sha256(trained.weights.tobytes() + trained.bias.tobytes()).hexdigest())
"""


def examples(counts: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns `counts` examples of each class, which a linear layer can separate."""
    class_ids = np.repeat(np.arange(len(counts)), counts)
    noise = np.random.default_rng(seed).normal(0, 0.1, (len(class_ids), _WIDTH))
    return (noise + np.eye(_WIDTH)[class_ids]).astype(np.float32), class_ids


def whole(steps: int, learning_rate: float = 0.5) -> HeadOptions:
    return HeadOptions(
        steps=steps, learning_rate=learning_rate, train_batch_size=-1, validation_batch_size=-1
    )


class TrainTest(parameterized.TestCase):
    def test_learns_to_separate_classes(self):
        options = HeadOptions(steps=500, learning_rate=0.5)
        trained = sgd.train(examples([50, 50, 50]), _NO_EXAMPLES, 3, options)
        features, class_ids = examples([20, 20, 20], seed=1)
        self.assertEqual(trained.weights.shape, (_WIDTH, 3))
        self.assertEqual(trained.weights.dtype, np.float32)
        self.assertEqual(trained.bias.dtype, np.float32)
        np.testing.assert_array_equal(trained.probabilities(features).argmax(axis=1), class_ids)

    def test_a_step_descends_the_gradient_of_the_cross_entropy(self):
        features, class_ids = examples([4, 3, 2])
        before = sgd.train((features, class_ids), _NO_EXAMPLES, 3, whole(1, learning_rate=0))
        after = sgd.train((features, class_ids), _NO_EXAMPLES, 3, whole(1, learning_rate=0.5))

        def cross_entropy(weights: np.ndarray, bias: np.ndarray) -> float:
            logits = features.astype(np.float64) @ weights + bias
            log_sums = np.log(np.exp(logits).sum(axis=1))
            return float(np.mean(log_sums - logits[np.arange(len(class_ids)), class_ids]))

        def slope(parameter: int, index: tuple[int, ...]) -> float:
            values = [before.weights.astype(np.float64), before.bias.astype(np.float64)]
            values[parameter][index] += 1e-5
            above = cross_entropy(*values)
            values[parameter][index] -= 2e-5
            return (above - cross_entropy(*values)) / 2e-5

        for index in np.ndindex(before.weights.shape):
            moved = after.weights[index] - before.weights[index]
            self.assertAlmostEqual(moved, -0.5 * slope(0, index), places=5)
        for index in np.ndindex(before.bias.shape):
            moved = after.bias[index] - before.bias[index]
            self.assertAlmostEqual(moved, -0.5 * slope(1, index), places=5)

    def test_initial_weights_are_small_and_random_and_the_bias_is_zero(self):
        features, class_ids = np.zeros((2, 5000), np.float32), np.array([0, 1])
        start = sgd.train((features, class_ids), _NO_EXAMPLES, 2, whole(1, learning_rate=0))
        self.assertLessEqual(np.abs(start.weights).max(), 0.002)
        # 0.88 is the standard deviation of a standard normal distribution truncated at 2.
        self.assertAlmostEqual(start.weights.std(), 0.00088, places=5)
        np.testing.assert_array_equal(start.bias, [0, 0])

    def test_small_classes_count_as_much_as_large_ones(self):
        # Only the bias can learn here: it learns how often each class was sampled.
        class_ids = np.repeat([0, 1], [990, 10])
        features = np.zeros((1000, _WIDTH), np.float32)
        options = HeadOptions(steps=300, learning_rate=0.1, train_batch_size=1000)
        drawn = sgd.train((features, class_ids), _NO_EXAMPLES, 2, options)
        everything = sgd.train((features, class_ids), _NO_EXAMPLES, 2, whole(300))
        self.assertBetween(drawn.probabilities(features[:1])[0, 1], 0.48, 0.52)
        self.assertLess(everything.probabilities(features[:1])[0, 1], 0.03)

    def test_every_image_of_a_class_is_sampled(self):
        features, class_ids = np.eye(20, dtype=np.float32), np.arange(20) % 2
        options = HeadOptions(steps=200, train_batch_size=10)
        trained = sgd.train((features, class_ids), (features, class_ids), 2, options)
        right = trained.probabilities(features)[np.arange(20), class_ids]
        self.assertGreater(right.min(), 0.5)

    def test_a_batch_can_be_larger_than_the_split(self):
        options = HeadOptions(steps=3, train_batch_size=100_000, validation_batch_size=100_000)
        few = examples([2, 1])
        self.assertEqual(sgd.train(few, few, 2, options).weights.shape, (_WIDTH, 2))

    @parameterized.parameters(-1, 0, 3)
    def test_a_class_without_training_images_is_refused(self, absent: int) -> None:
        features, class_ids = examples([2, 2, 2])
        class_ids[class_ids == 2] = absent
        with self.assertRaises(ValueError):
            sgd.train((features, class_ids), _NO_EXAMPLES, 3 if absent != 3 else 2, whole(1))

    @parameterized.parameters(1e40, 1e300, float("inf"), float("nan"))
    def test_a_learning_rate_that_is_too_large_is_refused(self, rate: float) -> None:
        named = self.assertRaisesRegex(UserError, re.escape(f"--learning_rate={rate};"))
        with named, warnings.catch_warnings():
            warnings.simplefilter("error")
            sgd.train(examples([5, 5]), _NO_EXAMPLES, 2, whole(50, learning_rate=rate))

    def test_large_steps_that_stay_finite_are_accepted(self):
        trained = sgd.train(examples([5, 5]), _NO_EXAMPLES, 2, whole(50, learning_rate=1e6))
        self.assertTrue(np.isfinite(trained.weights).all())


class RepeatTest(absltest.TestCase):
    def train(self, **changes) -> Head:
        options = dataclasses.replace(HeadOptions(steps=50, learning_rate=0.1), **changes)
        return sgd.train(examples([30, 20, 10]), examples([5, 5, 5], seed=1), 3, options)

    def test_the_same_arguments_give_the_same_bits_in_every_process(self):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", _HASH_OF_A_HEAD]
        hashes = {subprocess.check_output(command, env=environment) for _ in range(3)}
        self.assertLen(hashes, 1)

    def test_another_seed_gives_another_head(self):
        self.assertFalse(np.array_equal(self.train().weights, self.train(seed=1).weights))

    def test_more_frequent_evaluation_does_not_change_the_head(self):
        # Batches of this size are sampled one by one.
        large = {"steps": 20, "train_batch_size": 70_000, "validation_batch_size": 70_000}
        rare, frequent = (self.train(eval_step_interval=steps, **large) for steps in (10, 1))
        np.testing.assert_array_equal(rare.weights, frequent.weights)


class MetricsTest(absltest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.metrics: list[StepMetrics] = []

    def train(self, validation: tuple[np.ndarray, np.ndarray], options: HeadOptions) -> Head:
        return sgd.train(
            examples([9, 9]), validation, 2, options, on_evaluation=self.metrics.append
        )

    def test_metrics_are_reported_after_every_interval_and_the_last_step(self):
        last = self.train(examples([3, 3]), HeadOptions(steps=35, eval_step_interval=10))
        self.assertEqual([metrics.step for metrics in self.metrics], [0, 10, 20, 30, 34])
        self.assertIs(self.metrics[-1].head, last)

    def test_metrics_are_those_of_the_head_after_the_step(self):
        validation = examples([3, 5], seed=1)
        trained = self.train(validation, whole(40))
        for split, accuracy, cross_entropy in (
            (examples([9, 9]), "train_accuracy", "train_cross_entropy"),
            (validation, "validation_accuracy", "validation_cross_entropy"),
        ):
            features, class_ids = split
            probabilities = trained.probabilities(features)
            right = (probabilities.argmax(axis=1) == class_ids).mean()
            true_probabilities = probabilities[np.arange(len(class_ids)), class_ids]
            self.assertEqual(getattr(self.metrics[-1], accuracy), right)
            self.assertAlmostEqual(
                getattr(self.metrics[-1], cross_entropy),
                -np.log(true_probabilities).mean(),
                places=5,
            )

    def test_cross_entropy_falls(self):
        self.train(examples([3, 3]), whole(100))
        train_losses = [metrics.train_cross_entropy for metrics in self.metrics]
        self.assertAlmostEqual(train_losses[0], np.log(2), delta=0.2)
        self.assertEqual(train_losses, sorted(train_losses, reverse=True))

    def test_validation_metrics_are_none_without_validation_images(self):
        for size in (-1, 100):
            self.train(_NO_EXAMPLES, HeadOptions(steps=5, validation_batch_size=size))
        for metrics in self.metrics:
            self.assertIsNone(metrics.validation_accuracy)
            self.assertIsNone(metrics.validation_cross_entropy)

    def test_a_class_can_be_absent_from_the_validation_split(self):
        self.train(examples([0, 4]), HeadOptions(steps=200, learning_rate=0.5))
        self.assertEqual(self.metrics[-1].validation_accuracy, 1)

    def test_each_evaluation_samples_other_validation_images(self):
        features, class_ids = examples([50, 50], seed=1)
        options = HeadOptions(steps=6, eval_step_interval=1, learning_rate=0)
        self.train((features, class_ids), dataclasses.replace(options, validation_batch_size=5))
        drawn = {metrics.validation_cross_entropy for metrics in self.metrics}
        self.assertLen(drawn, 6)

    def test_on_step_receives_every_step_and_heads_that_do_not_change_later(self) -> None:
        given: list[tuple[int, Head, np.ndarray]] = []
        sgd.train(
            examples([9, 9]),
            _NO_EXAMPLES,
            2,
            HeadOptions(steps=12),
            on_step=lambda step, layer: given.append((step, layer, layer.weights.copy())),
        )
        self.assertEqual([step for step, _, _ in given], list(range(12)))
        for _, layer, weights in given:
            np.testing.assert_array_equal(layer.weights, weights)
        self.assertFalse(np.array_equal(given[0][2], given[-1][2]))


if __name__ == "__main__":
    absltest.main()
