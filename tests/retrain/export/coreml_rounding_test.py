"""Weights in sixteen bits are among the nearest, and their sums stay."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.export import coreml_rounding


class KeepSumsTest(parameterized.TestCase):
    @parameterized.parameters(9, 25)
    def test_sums_stay(self, count):
        filters = np.random.default_rng(0).normal(0, 1, (200, count)).astype(np.float32)
        exact = filters.astype(np.float64).sum(1)
        ours = np.abs(coreml_rounding.keep_sums(filters).astype(np.float64).sum(1) - exact)
        nearest = np.abs(filters.astype(np.float16).astype(np.float64).sum(1) - exact)
        self.assertTrue((ours <= nearest).all())
        self.assertLess(ours.mean(), nearest.mean() / 5)

    def test_every_weight_is_one_of_the_two_nearest(self):
        filters = np.random.default_rng(0).normal(0, 1, (200, 9)).astype(np.float32)
        rounded = coreml_rounding.keep_sums(filters)
        self.assertEqual(rounded.dtype, np.float16)
        away = np.nextafter(
            rounded, np.where(rounded > filters, -np.inf, np.inf).astype(np.float16)
        )
        # The weight is between what it was rounded to and the next number on its own side.
        self.assertTrue(((filters - rounded) * (filters - away.astype(np.float32)) <= 0).all())

    def test_what_sixteen_bits_hold_stays(self):
        filters = np.array([[0, 0.5, -2, 65504], [0, 0, 0, 0.1]], np.float32)
        expected = filters.astype(np.float16)
        np.testing.assert_array_equal(coreml_rounding.keep_sums(filters), expected)


if __name__ == "__main__":
    absltest.main()
