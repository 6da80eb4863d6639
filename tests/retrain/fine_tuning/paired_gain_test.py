"""A gain is certain if it is large for its scatter, and chance rarely makes it seem so."""

import numpy as np
from absl.testing import absltest
from scipy import stats

from retrain.fine_tuning.paired_gain import measure_paired_gain


def _is_certain(gains: np.ndarray) -> bool:
    return measure_paired_gain(gains, np.zeros(len(gains)), np.arange(len(gains))).is_certain


class PairedGainTest(absltest.TestCase):
    def test_it_is_the_paired_t_test(self):
        rng = np.random.default_rng(0)
        before, after = rng.gamma(0.1, size=(2, 12))
        gain = measure_paired_gain(before, after, np.arange(12))
        self.assertAlmostEqual(gain.mean, (before - after).mean())
        self.assertAlmostEqual(gain.standard_error, stats.sem(before - after))
        p_value = stats.ttest_rel(before + gain.required - gain.mean, after, alternative="greater")
        self.assertAlmostEqual(p_value.pvalue, 0.05)

    def test_a_gain_of_one_and_a_half_standard_errors_is_not_certain(self):
        scatter = np.tile([1.0, -1.0], 24)
        standard_error = stats.sem(scatter)
        self.assertFalse(_is_certain(scatter + 1.5 * standard_error))
        self.assertTrue(_is_certain(scatter + 1.8 * standard_error))

    def test_chance_rarely_makes_a_gain_certain(self):
        rng = np.random.default_rng(0)
        # As with networks that make few errors: nearly all images have small differences.
        gains = rng.normal(size=(2000, 20)) * rng.gamma(0.2, size=(2000, 20))
        self.assertLess(np.mean([_is_certain(row) for row in gains]), 0.06)

    def test_images_of_a_group_count_as_one(self):
        gains = np.random.default_rng(3).normal(0.5, 1, 12)
        once = measure_paired_gain(gains, np.zeros(12), np.arange(12))
        copies = measure_paired_gain(gains.repeat(5), np.zeros(60), np.arange(12).repeat(5))
        np.testing.assert_allclose(copies, once)

    def test_a_single_group_is_never_certain(self):
        for count in (1, 7):
            gain = measure_paired_gain(np.ones(count), np.zeros(count), np.zeros(count, int))
            self.assertEqual((gain.mean, gain.standard_error), (1, np.inf))
            self.assertFalse(gain.is_certain)

    def test_equal_losses_are_no_gain(self):
        self.assertFalse(_is_certain(np.zeros(30)))


if __name__ == "__main__":
    absltest.main()
