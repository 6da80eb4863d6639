"""Tests the logits and probabilities of a head."""

import numpy as np
from absl.testing import absltest

from retrain.runtimes.head import Head


class HeadTest(absltest.TestCase):
    def test_probabilities_are_the_softmax_of_the_logits(self):
        weights = np.array([[1, 2], [3, 4]], np.float32)
        layer = Head(weights, np.array([0.5, -0.5], np.float32))
        features = np.array([[1, 0], [0, 1], [2, -1]], np.float32)
        logits = features @ weights + [0.5, -0.5]
        np.testing.assert_allclose(layer.logits(features), logits)
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(layer.probabilities(features), expected, rtol=1e-6)
        self.assertEqual(layer.probabilities(features).dtype, np.float32)

    def test_probabilities_of_huge_logits_are_finite(self):
        layer = Head(np.array([[1e30, -1e30, 0]], np.float32), np.zeros(3, np.float32))
        np.testing.assert_array_equal(
            layer.probabilities(np.array([[1], [-1]], np.float32)), [[1, 0, 0], [0, 1, 0]]
        )

    def test_no_features_give_no_probabilities(self):
        layer = Head(np.ones((8, 3), np.float32), np.zeros(3, np.float32))
        self.assertEqual(layer.probabilities(np.zeros((0, 8), np.float32)).shape, (0, 3))


if __name__ == "__main__":
    absltest.main()
