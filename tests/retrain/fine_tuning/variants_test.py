"""Variants of training images are the same whether the images are in memory or on disk."""

from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.config import DistortionOptions
from retrain.data import distortions, pixels
from retrain.data.dataset import ImageFile
from retrain.data.distortions import Draw
from retrain.data.splits import TRAINING
from retrain.errors import UserError
from retrain.fine_tuning.variants import Images, undistorted

_OPTIONS = DistortionOptions(random_crop=20, random_scale=50, random_brightness=30)
_DRAW = Draw(scale=0.5, left=0.1, top=0.9, brightness=0.7, mirrored=False)
_SIZE = 40, 32


class ImagesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        rng = np.random.default_rng(0)
        self.files = []
        for number, name in enumerate(("a.png", "b.jpg", "c.png")):
            scene = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
            path = self.folder / name
            scene.resize((300 + number, 200), Image.Resampling.BICUBIC).save(path)
            self.files.append(ImageFile(path, 0, TRAINING, 0.5))

    def images(self, most_bytes: int) -> Images:
        return Images(self.files, *_SIZE, _OPTIONS, most_bytes)

    @parameterized.parameters(0, 50_000, 10**9)
    def test_are_those_of_the_file(self, most_bytes: int):
        images = self.images(most_bytes)
        for _ in range(2):
            for row, file in enumerate(self.files):
                large = distortions.roomy(file.path.read_bytes(), *_SIZE, _OPTIONS)
                wanted = distortions.distort(large, *_SIZE, _OPTIONS, _DRAW)
                np.testing.assert_array_equal(images.variant(row, _DRAW), wanted)

    def test_what_fits_into_memory_needs_no_file_any_more(self):
        # Of an image of at least 72 x 57.6 pixels, and less than twice as many of each side.
        images = self.images(3 * 4 * 72 * 58)
        first = images.variant(0, _DRAW)
        for row in (1, 2):
            images.variant(row, _DRAW)
        for file in self.files:
            file.path.unlink()
        np.testing.assert_array_equal(images.variant(0, _DRAW), first)
        with self.assertRaisesRegex(UserError, "c.png cannot be read any more: No such file"):
            images.variant(2, _DRAW)

    def test_large_images_are_kept_small(self):
        path = self.folder / "large.png"
        Image.new("RGB", (3000, 2000)).save(path)
        large = distortions.roomy(path.read_bytes(), *_SIZE, _OPTIONS)
        self.assertLess(large.width * large.height, 100_000)
        # No crop has to be enlarged.
        self.assertGreaterEqual(large.width, 1.2 * 1.5 * _SIZE[1])
        self.assertGreaterEqual(large.height, 1.2 * 1.5 * _SIZE[0])

    def test_a_damaged_one_is_named(self):
        self.files[1].path.write_bytes(b"nothing")
        for read in (
            lambda: self.images(0).variant(1, _DRAW),
            lambda: undistorted(self.files[1], *_SIZE),
        ):
            with self.assertRaisesRegex(UserError, "b.jpg cannot be read any more: it is not a"):
                read()

    def test_undistorted_is_what_the_network_sees(self):
        for file in self.files:
            wanted = pixels.decode(file.path.read_bytes(), *_SIZE)
            np.testing.assert_array_equal(undistorted(file, *_SIZE), wanted)


if __name__ == "__main__":
    absltest.main()
