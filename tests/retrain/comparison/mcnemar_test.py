"""The exact McNemar test, and what it means in words."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.comparison.mcnemar import count_pairs


def _count(both: int, only_new: int, only_old: int, neither: int = 0):
    new = np.repeat([True, True, False, False], [both, only_new, only_old, neither])
    old = np.repeat([True, False, True, False], [both, only_new, only_old, neither])
    return count_pairs(new, old)


class PairedTest(parameterized.TestCase):
    def test_images_are_counted(self):
        counts = _count(5, 4, 3, 2)
        self.assertEqual(
            (counts.both, counts.only_new, counts.only_old, counts.neither, counts.count),
            (5, 4, 3, 2, 14),
        )

    # Two times the tail of a binomial distribution with probability 1/2.
    @parameterized.parameters(
        (6, 0, 2 / 2**6), (1, 5, 2 * 7 / 2**6), (3, 3, 1.0), (0, 0, 1.0), (10, 2, 2 * 79 / 2**12)
    )
    def test_the_probability_is_exact(self, only_new, only_old, expected):
        self.assertAlmostEqual(_count(50, only_new, only_old).p_value, expected)

    def test_images_that_both_get_right_or_wrong_say_nothing(self):
        self.assertEqual(_count(0, 6, 1).p_value, _count(900, 6, 1, 80).p_value)

    @parameterized.parameters(
        (9, 1, "The new one is better. If both were equally good, a difference like this would"),
        (1, 9, "The old one is better."),
        (5, 3, "This does not show that the new one is better."),
        (4, 4, "Neither is better."),
        (30, 0, "would occur in less than 0.1 % of such comparisons."),
        (5, 3, "would occur in 73 % of such comparisons."),
    )
    def test_the_verdict(self, only_new, only_old, expected):
        self.assertIn(expected, _count(50, only_new, only_old).verdict())


if __name__ == "__main__":
    absltest.main()
