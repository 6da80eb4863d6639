"""Each augmentation changes images as its option says, and no more."""

import numpy as np
from absl.testing import absltest, parameterized

from tools.keras_training.augmentation import augment
from tools.keras_training.options import Augmentation


class AugmentationTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(0)
        # Large blocks, so that a shift by half a pixel changes little.
        blocks = np.kron(rng.integers(0, 256, (50, 4, 6, 3)), np.ones((1, 8, 8, 1)))
        self.images = blocks.astype(np.uint8)

    def augment(self, seed=(1, 2), **options) -> np.ndarray:
        return augment(self.images, seed, Augmentation(**options)).numpy()

    def test_no_option_changes_nothing(self):
        np.testing.assert_array_equal(self.augment(), self.images)

    def test_about_half_of_the_images_are_mirrored_exactly(self):
        augmented = self.augment(flip_left_right=True)
        unchanged = (augmented == self.images).all((1, 2, 3))
        mirrored = np.abs(augmented - self.images[:, :, ::-1]).max((1, 2, 3)) < 0.01
        self.assertTrue(np.all(unchanged ^ mirrored))
        self.assertBetween(np.sum(mirrored), 12, 38)

    def test_shift_stays_below_its_maximum(self):
        column = np.zeros((40, 20, 30, 1), np.uint8)
        column[:, :, 15] = 200
        augmented = augment(column, (3, 4), Augmentation(random_shift=20)).numpy()
        row = augmented[:, 10, :, 0]
        positions = (row * np.arange(30)).sum(1) / row.sum(1)
        self.assertLess(np.abs(positions - 15).max(), 6.01)
        self.assertGreater(np.abs(positions - 15).max(), 4)
        np.testing.assert_allclose(augmented[:, 10].sum((1, 2)), 200, rtol=1e-4)

    @parameterized.parameters(
        (dict(random_rotation=180.0),), (dict(random_scale=50.0),), (dict(random_rotation=20.0),)
    )
    def test_rotation_and_scale_keep_the_centre(self, options):
        rows, columns = np.mgrid[:31, :31]
        disc = 200 * (np.hypot(rows - 15, columns - 15) < 8)
        images = np.broadcast_to(disc[None, ..., None], (30, 31, 31, 1)).astype(np.uint8)
        augmented = augment(images, (5, 6), Augmentation(**options)).numpy()[..., 0]
        mass = augmented.sum((1, 2))
        for coordinates in (rows, columns):
            centre = (augmented * coordinates).sum((1, 2)) / mass
            np.testing.assert_allclose(centre, 15, atol=0.05)
        if "random_scale" in options:
            self.assertBetween(mass.max() / mass.min(), 2.5, 1.5**4 * 1.1)
        else:
            np.testing.assert_allclose(mass, mass[0], rtol=0.02)

    def test_brightness_stays_within_its_maximum(self):
        augmented = self.augment(random_brightness=30.0)
        ratio = augmented.mean((1, 2, 3)) / self.images.mean((1, 2, 3))
        self.assertBetween(ratio.min(), 0.69, 0.8)
        self.assertBetween(ratio.max(), 1.05, 1.31)
        self.assertLessEqual(augmented.max(), 255)

    def test_the_seed_determines_the_result(self):
        options = dict(random_shift=5.0, random_rotation=10.0, random_brightness=5.0)
        np.testing.assert_array_equal(self.augment(**options), self.augment(**options))
        other = self.augment(seed=(1, 3), **options)
        self.assertFalse(np.array_equal(self.augment(**options), other))


if __name__ == "__main__":
    absltest.main()
