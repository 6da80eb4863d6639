"""Variants are the same whether the images are in memory or on disk."""

from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.data import distortions, pixels
from retrain.data.dataset import ImageFile
from retrain.data.distortions import Distortion
from retrain.data.splits import TRAINING
from retrain.errors import UserError
from retrain.fine_tuning.variants import VariantSource, decode_undistorted
from retrain.metadata import FITS, STRETCH
from retrain.training_options import DistortionOptions

_OPTIONS = DistortionOptions(random_crop=20, random_scale=50, random_brightness=30)
_DISTORTION = Distortion(scale=0.5, left=0.1, top=0.9, brightness=0.7, mirrored=False)
_SIZE = 40, 32


class VariantSourceTest(parameterized.TestCase):
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

    def source(self, max_bytes: int, fit: str = STRETCH) -> VariantSource:
        return VariantSource(self.files, *_SIZE, _OPTIONS, fit=fit, max_bytes=max_bytes)

    @parameterized.product(max_bytes=[0, 50_000, 10**9], fit=FITS)
    def test_variants_are_those_of_the_file(self, max_bytes: int, fit: str):
        source = self.source(max_bytes, fit)
        for _ in range(2):
            for row, file in enumerate(self.files):
                large = distortions.decode_for_cropping(
                    file.path.read_bytes(), _OPTIONS, height=_SIZE[0], width=_SIZE[1], fit=fit
                )
                expected = distortions.distort(
                    large, _DISTORTION, _OPTIONS, height=_SIZE[0], width=_SIZE[1]
                )
                np.testing.assert_array_equal(source.variant(row, _DISTORTION), expected)

    def test_an_image_in_memory_is_not_read_again(self):
        # Room for one image of 72 x 58 to 144 x 116 pixels.
        source = self.source(3 * 4 * 72 * 58)
        first = source.variant(0, _DISTORTION)
        for row in (1, 2):
            source.variant(row, _DISTORTION)
        for file in self.files:
            file.path.unlink()
        np.testing.assert_array_equal(source.variant(0, _DISTORTION), first)
        with self.assertRaisesRegex(UserError, "c.png can no longer be read: No such file"):
            source.variant(2, _DISTORTION)

    def test_large_images_are_kept_small(self):
        path = self.folder / "large.png"
        Image.new("RGB", (3000, 2000)).save(path)
        large = distortions.decode_for_cropping(
            path.read_bytes(), _OPTIONS, height=_SIZE[0], width=_SIZE[1]
        )
        self.assertLess(large.width * large.height, 100_000)
        # No crop is enlarged.
        self.assertGreaterEqual(large.width, 1.2 * 1.5 * _SIZE[1])
        self.assertGreaterEqual(large.height, 1.2 * 1.5 * _SIZE[0])

    def test_a_damaged_image_is_named(self):
        self.files[1].path.write_bytes(b"nothing")
        for read in (
            lambda: self.source(0).variant(1, _DISTORTION),
            lambda: decode_undistorted(self.files[1], *_SIZE),
        ):
            with self.assertRaisesRegex(UserError, "b.jpg can no longer be read: it is not a"):
                read()

    def test_undistorted_images_are_the_input_of_the_network(self):
        for file in self.files:
            expected = pixels.decode(file.path.read_bytes(), *_SIZE)
            np.testing.assert_array_equal(decode_undistorted(file, *_SIZE), expected)


if __name__ == "__main__":
    absltest.main()
