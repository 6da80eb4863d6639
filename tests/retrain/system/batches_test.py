"""Batches have all items in order."""

from itertools import count, islice

from absl.testing import absltest, parameterized

from retrain.system.batches import batches


class BatchesTest(parameterized.TestCase):
    @parameterized.parameters(
        (0, []),
        (2, [[0, 1]]),
        (3, [[0, 1, 2]]),
        (7, [[0, 1, 2], [3, 4, 5], [6]]),
    )
    def test_the_last_batch_can_be_shorter(self, total, expected):
        self.assertEqual(list(batches(range(total), 3)), expected)

    def test_a_stream_is_read_one_batch_at_a_time(self):
        stream = count()
        self.assertEqual(list(islice(batches(stream, 4), 2)), [[0, 1, 2, 3], [4, 5, 6, 7]])
        self.assertEqual(next(stream), 8)


if __name__ == "__main__":
    absltest.main()
