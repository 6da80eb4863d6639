"""Products of blocks find the same neighbours as the whole table of similarities."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.data_check import neighbours


class MostSimilarTest(parameterized.TestCase):
    @parameterized.parameters(None, 3)
    def test_blocks_give_the_same_result_as_the_whole_table(self, other_width):
        rng = np.random.default_rng(0)
        vectors = rng.standard_normal((50, 8)).astype(np.float32)
        other = None
        expected = vectors @ vectors.T
        if other_width:
            other = rng.standard_normal((50, other_width)).astype(np.float32)
            expected += np.abs(other @ other.T)
        np.fill_diagonal(expected, -np.inf)
        order = np.argsort(-expected, axis=1)[:, :4]
        with absltest.mock.patch.object(neighbours, "_BLOCK_BYTES", 4 * 50 * 7):
            found, similarities = neighbours.most_similar(vectors, 4, antisymmetric=other)
        np.testing.assert_array_equal(found, order)
        np.testing.assert_allclose(
            similarities, np.take_along_axis(expected, order, 1), rtol=1e-5, atol=1e-5
        )

    @parameterized.parameters(0, 1, 2)
    def test_few_vectors_have_few_neighbours(self, count):
        found, _ = neighbours.most_similar(np.ones((count, 4), np.float32), 3)
        self.assertEqual(found.shape, (count, max(0, count - 1)))
        self.assertEqual(neighbours.as_pairs(found).tolist(), [[0, 1]] if count == 2 else [])


if __name__ == "__main__":
    absltest.main()
