"""Tests that rounding to float16 keeps the sums of depthwise filters."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.export import coreml_rounding


class RoundKeepingSumsTest(parameterized.TestCase):
    @parameterized.parameters(9, 25)
    def test_sums_are_closer_than_with_nearest_rounding(self, count):
        filters = np.random.default_rng(0).normal(0, 1, (200, count)).astype(np.float32)
        exact = filters.astype(np.float64).sum(1)
        ours = np.abs(coreml_rounding.round_keeping_sums(filters).astype(np.float64).sum(1) - exact)
        nearest = np.abs(filters.astype(np.float16).astype(np.float64).sum(1) - exact)
        self.assertTrue((ours <= nearest).all())
        self.assertLess(ours.mean(), nearest.mean() / 5)

    def test_every_weight_is_rounded_up_or_down(self):
        filters = np.random.default_rng(0).normal(0, 1, (200, 9)).astype(np.float32)
        rounded = coreml_rounding.round_keeping_sums(filters)
        self.assertEqual(rounded.dtype, np.float16)
        away = np.nextafter(
            rounded, np.where(rounded > filters, -np.inf, np.inf).astype(np.float16)
        )
        # The weight is between the rounded one and the next number on the other side.
        self.assertTrue(((filters - rounded) * (filters - away.astype(np.float32)) <= 0).all())

    def test_representable_weights_do_not_change(self):
        filters = np.array([[0, 0.5, -2, 65504], [0, 0, 0, 0.1]], np.float32)
        expected = filters.astype(np.float16)
        np.testing.assert_array_equal(coreml_rounding.round_keeping_sums(filters), expected)


if __name__ == "__main__":
    absltest.main()
