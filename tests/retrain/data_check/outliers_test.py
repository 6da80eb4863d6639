"""Images unlike all others are found, and equal or few images are not outliers."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.data_check import outliers


class FindOutliersTest(parameterized.TestCase):
    @parameterized.parameters(10_000, 100)
    def test_finds_images_in_directions_that_no_others_have(self, images_of_covariance):
        rng = np.random.default_rng(0)
        # The images fill half of the directions.
        features = np.zeros((300, 64), np.float16)
        features[:, :32] = 5 + rng.standard_normal((300, 32))
        features[:, 32:] = 0.1 * rng.standard_normal((300, 32))
        features[[7, 250], 32:] += np.array([[3], [-6]])
        limit = absltest.mock.patch.object(
            outliers, "_MAX_IMAGES_OF_COVARIANCE", images_of_covariance
        )
        with limit:
            found, excess = outliers.find_outliers(features, np.arange(300) % 2)
        self.assertEqual(found.tolist(), [250, 7])
        self.assertGreater(excess[0], excess[1])

    def test_equal_or_few_images_have_no_outliers(self):
        for count in (1, 5, 100):
            found, _ = outliers.find_outliers(np.ones((count, 8), np.float16), np.arange(count) % 2)
            self.assertEmpty(found)


if __name__ == "__main__":
    absltest.main()
