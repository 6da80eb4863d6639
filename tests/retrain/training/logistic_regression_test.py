"""The fit minimises the penalised cross entropy, and folds the standardisation into the weights."""

import dataclasses

import numpy as np
from absl.testing import absltest

from retrain.training.logistic_regression import STRENGTHS, fit, fit_path, refine
from retrain.training.losses import cross_entropies_of_logits
from retrain.training.training_set import TrainingSet


def _training_set(count: int = 200, variants: int = 1) -> TrainingSet:
    rng = np.random.default_rng(0)
    class_ids = np.arange(count) % 3
    features = 2 * np.eye(3)[class_ids] @ rng.normal(size=(3, 8)) + rng.normal(size=(count, 8))
    features = features * np.geomspace(0.5, 2, 8) + 5
    return TrainingSet(
        features.astype(np.float32).repeat(variants, axis=0),
        class_ids.repeat(variants),
        class_count=3,
        variants=variants,
    )


def _objective(training: TrainingSet, weights: np.ndarray, bias: np.ndarray, strength: float):
    """Returns the loss of a head, with the penalty on the weights of standardised features."""
    counts = np.bincount(training.class_ids)
    sample_weights = (len(training.class_ids) / 3 / counts)[training.class_ids]
    losses = cross_entropies_of_logits(training.features @ weights + bias, training.class_ids)
    variance = training.features.var(axis=0)
    count = len(training.image_class_ids)
    # The mean variance counts as much as 300 images.
    scales = np.sqrt((count * variance + 300 * variance.mean()) / (count + 300))
    penalty = np.square(weights * scales[:, np.newaxis]).sum()
    return sample_weights @ losses + penalty / (2 * strength)


class FitPathTest(absltest.TestCase):
    def test_yields_all_strengths_from_the_simplest_head(self):
        norms = [np.linalg.norm(head.weights) for head in fit_path(_training_set())]
        self.assertLen(norms, len(STRENGTHS))
        self.assertEqual(norms, sorted(norms))

    def test_one_strength_has_the_same_head_as_in_the_path(self):
        training = _training_set()
        for strength, head in zip(STRENGTHS, fit_path(training), strict=True):
            np.testing.assert_array_equal(fit(training, strength).weights, head.weights)

    def test_no_nearby_head_has_a_smaller_objective(self):
        training = _training_set()
        rng = np.random.default_rng(1)
        strengths = (1e-2, 1.0)
        for strength, head in zip(strengths, fit_path(training, strengths), strict=True):
            best = _objective(training, head.weights, head.bias, strength)
            for _ in range(100):
                step = (
                    rng.normal(size=head.weights.shape)
                    * 1e-2
                    / training.features.std(axis=0)[:, np.newaxis]
                )
                moved = head.weights + step
                bias = head.bias - training.features.mean(axis=0) @ step
                # The optimiser stops at a relative tolerance of 1e-6.
                self.assertLess(best, (1 + 1e-5) * _objective(training, moved, bias, strength))

    def test_refine_reaches_the_same_optimum_from_another_head(self):
        training = _training_set()
        start, expected = fit_path(training, (1e-3, 1e-1))
        refined = refine(training, start, 1e-1, max_iterations=300)
        np.testing.assert_allclose(
            refined.logits(training.features), expected.logits(training.features), atol=2e-2
        )

    def test_float16_features_give_nearly_the_same_head(self):
        training = _training_set()
        half = TrainingSet(training.features.astype(np.float16), training.class_ids, class_count=3)
        head, half_head = (next(fit_path(data, [0.1])) for data in (training, half))
        np.testing.assert_allclose(
            head.logits(training.features), half_head.logits(training.features), atol=2e-2
        )

    def test_the_scale_of_a_feature_matters_only_in_few_images(self):
        change = {}
        for count in (9, 30_000):
            training = _training_set(count)
            logits = []
            for scale in (1, 3):
                features = training.features * np.array([scale] + [1] * 7, np.float32)
                scaled = dataclasses.replace(training, features=features)
                head = next(fit_path(scaled, [1e-1 / count]))
                logits.append(head.logits(features))
            change[count] = np.abs(logits[1] - logits[0]).mean() / np.abs(logits[0]).mean()
        self.assertLess(change[30_000], 0.02)
        self.assertGreater(change[9], 0.1)

    def test_each_stage_has_a_limit_of_its_own_for_small_standard_deviations(self):
        training = _training_set()
        small = training.features / 1000
        joined = dataclasses.replace(
            training, features=np.hstack([training.features, small]), stage_widths=(8,)
        )
        head, unlimited = (
            next(fit_path(data, [0.1]))
            for data in (joined, dataclasses.replace(joined, stage_widths=()))
        )
        # The features of both stages are the same after standardisation.
        np.testing.assert_allclose(head.weights[8:] / 1000, head.weights[:8], rtol=1e-2, atol=1e-3)
        self.assertLess(np.abs(unlimited.weights[8:] / 1000).max(), np.abs(head.weights[:8]).max())


if __name__ == "__main__":
    absltest.main()
