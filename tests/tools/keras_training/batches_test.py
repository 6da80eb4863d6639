"""Batches follow from seed and epoch, hold every example once, and vary images as asked."""

import numpy as np
from absl.testing import absltest, parameterized

from tools.keras_training import batches
from tools.keras_training.augmentation import augment
from tools.keras_training.examples import Examples
from tools.keras_training.options import Augmentation

_PLAIN = Augmentation()
_ALL = Augmentation(10, 15, 10, 10, True)


def _numbered(count: int) -> Examples:
    """Examples whose pixels are their number."""
    numbers = np.arange(count)
    inputs = np.broadcast_to(numbers[:, None, None, None], (count, 4, 4, 1)).astype(np.uint8)
    return Examples(inputs, numbers % 3)


def _stream(epochs: range, seed: int = 0, augmentation: Augmentation = _PLAIN) -> list:
    stream = batches.training(_numbered(20), 3, 8, epochs, seed, augmentation)
    return [(inputs.numpy(), truth.numpy()) for inputs, truth in stream]


class BatchesTest(absltest.TestCase):
    def test_every_epoch_has_every_example_once_with_its_truth(self):
        self.assertEqual(batches.steps(_numbered(20), 8), 3)
        stream = _stream(range(2))
        self.assertEqual([len(truth) for _, truth in stream], [8, 8, 4] * 2)
        for epoch in (stream[:3], stream[3:]):
            numbers = np.concatenate([inputs[:, 0, 0, 0] for inputs, _ in epoch])
            truth = np.concatenate([truth for _, truth in epoch])
            self.assertCountEqual(numbers.tolist(), range(20))
            np.testing.assert_array_equal(truth, np.eye(3)[numbers % 3])
        self.assertFalse(np.array_equal(stream[0][0], stream[3][0]))

    def test_later_epochs_do_not_need_earlier_ones(self):
        for augmentation in (_PLAIN, _ALL):
            whole = _stream(range(3), augmentation=augmentation)
            later = _stream(range(2, 3), augmentation=augmentation)
            for (inputs, truth), (same_inputs, same_truth) in zip(whole[6:], later, strict=True):
                np.testing.assert_array_equal(inputs, same_inputs)
                np.testing.assert_array_equal(truth, same_truth)

    def test_another_seed_is_another_order(self):
        self.assertFalse(np.array_equal(_stream(range(1))[0][0], _stream(range(1), seed=1)[0][0]))

    def test_validation_is_in_order(self):
        stream = batches.validation(_numbered(20), 3, 8)
        numbers = np.concatenate([inputs.numpy()[:, 0, 0, 0] for inputs, _ in stream])
        np.testing.assert_array_equal(numbers, np.arange(20))


class AugmentationTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(0)
        # Smooth, so that half a pixel more or less changes little.
        coarse = np.kron(rng.integers(0, 256, (50, 4, 6, 3)), np.ones((1, 8, 8, 1)))
        self.images = coarse.astype(np.uint8)

    def vary(self, seed=(1, 2), **options) -> np.ndarray:
        return augment(self.images, seed, Augmentation(**options)).numpy()

    def test_nothing_asked_changes_nothing(self):
        np.testing.assert_array_equal(self.vary(), self.images)

    def test_mirrored_are_exact_and_about_half(self):
        varied = self.vary(flip_left_right=True)
        same = (varied == self.images).all((1, 2, 3))
        mirrored = np.abs(varied - self.images[:, :, ::-1]).max((1, 2, 3)) < 0.01
        self.assertTrue(np.all(same ^ mirrored))
        self.assertBetween(np.sum(mirrored), 12, 38)

    def test_shift_moves_by_at_most_so_much(self):
        column = np.zeros((40, 20, 30, 1), np.uint8)
        column[:, :, 15] = 200
        varied = augment(column, (3, 4), Augmentation(random_shift=20)).numpy()
        places = (varied[:, 10, :, 0] * np.arange(30)).sum(1) / varied[:, 10, :, 0].sum(1)
        self.assertLess(np.abs(places - 15).max(), 6.01)
        self.assertGreater(np.abs(places - 15).max(), 4)
        np.testing.assert_allclose(varied[:, 10].sum((1, 2)), 200, rtol=1e-4)

    @parameterized.parameters(
        (dict(random_rotation=180.0),), (dict(random_scale=50.0),), (dict(random_rotation=20.0),)
    )
    def test_a_disc_in_the_middle_stays_there(self, options):
        rows, columns = np.mgrid[:31, :31]
        disc = 200 * (np.hypot(rows - 15, columns - 15) < 8)
        images = np.broadcast_to(disc[None, ..., None], (30, 31, 31, 1)).astype(np.uint8)
        varied = augment(images, (5, 6), Augmentation(**options)).numpy()[..., 0]
        mass = varied.sum((1, 2))
        for numbers in (rows, columns):
            middle = (varied * numbers).sum((1, 2)) / mass
            np.testing.assert_allclose(middle, 15, atol=0.05)
        if "random_scale" in options:
            self.assertBetween(mass.max() / mass.min(), 2.5, 1.5**4 * 1.1)
        else:
            np.testing.assert_allclose(mass, mass[0], rtol=0.02)

    def test_brightness_stays_in_bounds(self):
        varied = self.vary(random_brightness=30.0)
        ratio = varied.mean((1, 2, 3)) / self.images.mean((1, 2, 3))
        self.assertBetween(ratio.min(), 0.69, 0.8)
        self.assertBetween(ratio.max(), 1.05, 1.31)
        self.assertLessEqual(varied.max(), 255)

    def test_the_seed_decides(self):
        options = dict(random_shift=5.0, random_rotation=10.0, random_brightness=5.0)
        np.testing.assert_array_equal(self.vary(**options), self.vary(**options))
        other = self.vary(seed=(1, 3), **options)
        self.assertFalse(np.array_equal(self.vary(**options), other))


if __name__ == "__main__":
    absltest.main()
