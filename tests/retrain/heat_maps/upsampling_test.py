"""Tests of upsampling."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.heat_maps.upsampling import upsample


class UpsampleTest(parameterized.TestCase):
    @parameterized.parameters((14, 14), (17, 20), (5, 40))
    def test_the_mean_is_that_of_the_map(self, height: int, width: int):
        maps = np.random.default_rng(0).normal(size=(2, 7, 9)).astype(np.float32)
        result = upsample(maps, height, width)
        self.assertEqual((2, height, width), result.shape)
        np.testing.assert_allclose(result.mean((1, 2)), maps.mean((1, 2)), atol=1e-5)

    def test_values_lie_between_the_centres_of_their_neighbours(self):
        result = upsample(np.array([[0, 4]], np.float32), 1, 4)
        np.testing.assert_allclose(result, [[0, 1, 3, 4]])

    def test_an_equal_size_changes_nothing(self):
        maps = np.arange(6, dtype=np.float32).reshape(2, 3)
        np.testing.assert_array_equal(maps, upsample(maps, 2, 3))


if __name__ == "__main__":
    absltest.main()
