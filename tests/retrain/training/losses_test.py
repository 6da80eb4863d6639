"""Cross entropies are those of the true classes, and stay finite."""

import numpy as np
from absl.testing import absltest

from retrain.runtimes.head import softmax
from retrain.training.losses import cross_entropies, cross_entropies_of_logits


class CrossEntropiesTest(absltest.TestCase):
    def test_probabilities_and_logits_have_the_same_cross_entropies(self):
        logits = np.random.default_rng(0).normal(0, 3, (20, 4)).astype(np.float32)
        class_ids = np.arange(20) % 4
        probabilities = softmax(logits)
        expected = [-np.log(probabilities[row, row % 4]) for row in range(20)]
        np.testing.assert_allclose(cross_entropies(probabilities, class_ids), expected, rtol=1e-5)
        found = cross_entropies_of_logits(logits, class_ids)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        self.assertEqual(found.dtype, np.float32)

    def test_a_probability_of_0_has_a_finite_cross_entropy(self):
        (loss,) = cross_entropies(np.array([[1, 0]], np.float32), np.array([1]))
        self.assertBetween(loss, 80, 100)

    def test_huge_logits_have_finite_cross_entropies(self):
        logits = np.array([[1e30, 0.0], [0.0, 1e30]], np.float32)
        np.testing.assert_allclose(cross_entropies_of_logits(logits, np.array([0, 0])), [0, 1e30])


if __name__ == "__main__":
    absltest.main()
