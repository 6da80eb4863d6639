"""Intervals of accuracies equal their definition, and groups of similar images make them wider."""

import math

import numpy as np
from absl.testing import absltest

from retrain.training.accuracy_interval import accuracy_interval, wilson_interval


class AccuracyIntervalTest(absltest.TestCase):
    def test_interval_ends_where_the_score_test_rejects(self):
        # By definition an end p is where |share - p| is 1.96 standard errors of p.
        for right, count in ((15, 20), (1, 8), (190, 200)):
            for end in accuracy_interval(np.arange(count) < right):
                error = math.sqrt(end * (1 - end) / count)
                self.assertAlmostEqual(abs(right / count - end) / error, 1.959964, places=5)

    def test_groups_that_are_right_or_wrong_together_count_once(self):
        once = np.arange(40) % 4 != 0
        groups = np.repeat(np.arange(40), 5)
        low, high = accuracy_interval(np.repeat(once, 5), groups=groups)
        expected = accuracy_interval(once, groups=np.arange(40))
        self.assertAlmostEqual(low, expected[0], delta=0.01)
        self.assertAlmostEqual(high, expected[1], delta=0.01)
        # Without mistakes, nothing shows how alike the images of a group are.
        self.assertEqual(
            accuracy_interval(np.ones(200, bool), groups=groups),
            accuracy_interval(np.ones(40, bool)),
        )
        # Groups whose images differ like others do not make the interval narrower.
        mixed = np.tile(once, 5)
        self.assertEqual(accuracy_interval(mixed, groups=groups), accuracy_interval(mixed))

    def test_interval_stays_between_0_and_1_and_is_never_empty(self):
        low, high = accuracy_interval(np.zeros(10, bool))
        self.assertAlmostEqual(low, 0)
        self.assertGreaterEqual(low, 0)
        self.assertAlmostEqual(high, 0.2775, places=4)
        low, high = accuracy_interval(np.ones(10, bool))
        self.assertAlmostEqual(low, 0.7225, places=4)
        self.assertAlmostEqual(high, 1)
        self.assertLessEqual(high, 1)

    def test_twice_the_variance_is_as_half_the_images(self):
        right = np.arange(60) % 3 > 0
        self.assertEqual(accuracy_interval(right, variance_factor=2), wilson_interval(2 / 3, 30))


if __name__ == "__main__":
    absltest.main()
