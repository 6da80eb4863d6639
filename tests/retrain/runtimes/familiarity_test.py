"""Tests the distances to the classes, and the shares of held-out images beyond them."""

import numpy as np
from absl.testing import absltest

from retrain.runtimes import familiarity
from tests.support import sample_familiarity


class FamiliarityTest(absltest.TestCase):
    def setUp(self):
        self.familiarity = sample_familiarity.create(width=12, classes=3)

    def test_the_distance_is_that_of_mahalanobis_to_the_nearest_mean(self):
        model = self.familiarity
        features = np.random.default_rng(1).normal(size=(9, 12)).astype(np.float32)
        directions = model.basis * np.sqrt(model.variances)
        projection = directions @ directions.T
        covariance = directions @ np.diag(model.variances) @ directions.T
        covariance += model.residual_variance * (np.eye(12) - projection)
        means = model.center + (model.means * np.sqrt(model.variances)) @ directions.T
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        offsets = unit[:, np.newaxis] - means
        squares = np.einsum("ncw,wv,ncv->nc", offsets, np.linalg.inv(covariance), offsets)
        np.testing.assert_allclose(
            model.class_distances(features), np.sqrt(squares.min(axis=1)), rtol=1e-4
        )

    def test_only_the_direction_of_the_first_features_counts(self):
        features = np.random.default_rng(1).normal(size=(9, 12)).astype(np.float32)
        more = np.concatenate([3 * features, np.ones((9, 5), np.float32)], axis=1)
        np.testing.assert_allclose(
            self.familiarity.scores(more), self.familiarity.scores(features), rtol=1e-5
        )

    def test_shares_are_interpolated_and_keep_decreasing_beyond_the_last_distance(self):
        distances = np.array([0, 1, 1.5, 2, 4, 4.1, 6, 60, 1e6], np.float32)
        shares = self.familiarity.shares_of(distances)
        np.testing.assert_allclose(shares[:5], [1, 1, 0.75, 0.5, 0.1], rtol=1e-6)
        self.assertTrue((np.diff(shares[1:]) < 0).all(), shares)
        self.assertGreater(shares[-1], 0)
        self.assertEqual(self.familiarity.shares_of(np.array([np.inf], np.float32)), 0)

    def test_features_that_are_zero_or_not_finite_are_unfamiliar_without_a_warning(self):
        features = np.zeros((3, 12), np.float32)
        features[1], features[2, 0] = np.nan, np.inf
        with np.errstate(all="raise"):
            scores = self.familiarity.scores(features)
        self.assertTrue(np.isfinite(scores).all(), scores)
        np.testing.assert_array_equal(scores[1:], 0)

    def test_many_images_have_the_scores_that_each_one_has(self):
        features = np.random.default_rng(1).normal(size=(5000, 12)).astype(np.float16)
        scores = self.familiarity.scores(features)
        for row in (0, 4095, 4096, 4999):
            one = self.familiarity.scores(features[row : row + 1])
            np.testing.assert_allclose(scores[row], one[0], rtol=1e-5)


class NormaliseTest(absltest.TestCase):
    def test_features_have_length_1_unless_they_are_0(self):
        result = familiarity.normalise(np.array([[3, 4], [0, 0]], np.float16))
        self.assertEqual(result.dtype, np.float32)
        np.testing.assert_allclose(result, [[0.6, 0.8], [0, 0]], rtol=1e-6)


if __name__ == "__main__":
    absltest.main()
