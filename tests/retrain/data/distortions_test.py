"""Tests that distortions equal those of TensorFlow's retrain.py, and are reproducible."""

import hashlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.data import distortions, pixels
from retrain.data.distortions import UNDISTORTED
from retrain.metadata import CROP, PAD
from retrain.training_options import DistortionOptions
from tests.support.python_code import run_python

_SIDE = 64
_MANY = 400
_DIGEST = hashlib.sha256(b"an image").digest()
_ALL = DistortionOptions(
    random_crop=10, random_scale=20, random_brightness=30, flip_left_right=True, seed=5
)
# Whether each of the first variants of `_DIGEST` with seed 0 is mirrored.
_MIRRORED = "0110000010100110"

_HASHES_OF_VARIANTS = """
import hashlib
from retrain.training_options import DistortionOptions
from tests.retrain.data import distortions_test as test
options = DistortionOptions(10, 20, 30, True, seed=5)
for image in test.decode(test.noise(), [2, 1], options):
    print(hashlib.sha256(image.tobytes()).hexdigest())
"""


class Window(NamedTuple):
    """The part of `ramps` that a variant shows.

    Bounds are from 0 to 1. If the variant is mirrored, `right` is less than `left`.
    """

    left: float
    right: float
    top: float
    bottom: float

    @property
    def scale(self) -> float:
        return 1 / abs(self.right - self.left)

    @property
    def mirrored(self) -> bool:
        return self.right < self.left

    @property
    def horizontal_position(self) -> float:
        """Position from 0 at the left border to 1 at the right border."""
        return min(self.left, self.right) / (1 - 1 / self.scale)

    @property
    def vertical_position(self) -> float:
        """Position from 0 at the upper border to 1 at the lower border."""
        return self.top / (1 - 1 / self.scale)


def png(rgb: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def noise(height: int = 90, width: int = 120) -> bytes:
    return png(np.random.default_rng(0).integers(0, 256, (height, width, 3)))


def flat(level: int) -> bytes:
    return png(np.full((80, 80, 3), level))


def ramps() -> bytes:
    """Draws an image in which red is the column and green is the row."""
    rows, columns = np.mgrid[:256, :256]
    return png(np.stack([columns, rows, 0 * rows], axis=-1))


def window(image: np.ndarray) -> Window:
    # At the border the resizing filter covers fewer pixels, which bends the ramps.
    inner = slice(4, -4)
    centres = (np.arange(_SIDE) + 0.5)[inner]
    bounds = []
    for levels in (image[:, :, 0].mean(axis=0), image[:, :, 1].mean(axis=1)):
        slope, first = np.polyfit(centres, (levels[inner] + 0.5) / 256, 1)
        bounds += [first, first + slope * _SIDE]
    return Window(*bounds)


def decode(
    data: bytes,
    numbers: Sequence[int],
    options: DistortionOptions,
    digest: bytes = _DIGEST,
    height: int = _SIDE,
    width: int = _SIDE,
) -> list[np.ndarray]:
    variants = distortions.decode_variants(
        data, numbers, options, digest=digest, height=height, width=width
    )
    return list(variants)


def windows(options: DistortionOptions, count: int = _MANY) -> list[Window]:
    return [window(image) for image in decode(ramps(), range(1, count + 1), options)]


class DistributionTest(parameterized.TestCase):
    """Uses a fixed seed. Nearly all other seeds pass, too."""

    def assert_uniform(self, values: Sequence[float], low: float, high: float) -> None:
        shares = (np.array(values) - low) / (high - low)
        self.assertBetween(shares.min(), -0.02, 0.02)
        self.assertBetween(shares.max(), 0.98, 1.02)
        quarters, _ = np.histogram(shares.clip(0, 1), 4, (0, 1))
        for quarter in quarters / len(values):
            self.assertAlmostEqual(quarter, 1 / 4, delta=0.08)

    @parameterized.parameters(5, 10, 50, 100)
    def test_a_crop_leaves_a_margin_of_the_percentage(self, percent):
        for seen in windows(DistortionOptions(random_crop=percent), 50):
            self.assertAlmostEqual(seen.scale, 1 + percent / 100, delta=0.01)
            self.assertAlmostEqual(seen.right - seen.left, seen.bottom - seen.top, delta=0.01)

    def test_crops_are_at_uniform_random_positions(self):
        seen = windows(DistortionOptions(random_crop=50))
        self.assert_uniform([one.horizontal_position for one in seen], 0, 1)
        self.assert_uniform([one.vertical_position for one in seen], 0, 1)
        places = np.array([(one.horizontal_position, one.vertical_position) for one in seen])
        self.assertAlmostEqual(np.corrcoef(places.T)[0, 1], 0, delta=0.2)

    def test_scales_are_uniform_up_to_the_percentage(self):
        seen = windows(DistortionOptions(random_scale=40))
        self.assert_uniform([one.scale for one in seen], 1, 1.4)

    def test_crop_and_scale_multiply(self):
        seen = windows(DistortionOptions(random_crop=50, random_scale=40))
        self.assert_uniform([one.scale for one in seen], 1.5, 1.5 * 1.4)

    def test_crops_stay_in_the_image(self):
        for seen in windows(DistortionOptions(random_crop=100, random_scale=100)):
            for bound in seen:
                self.assertBetween(bound, -0.01, 1.01)

    def test_half_of_the_variants_are_mirrored_if_requested(self):
        crop = {"random_crop": 20}
        mirrored = [one.mirrored for one in windows(DistortionOptions(**crop))]
        self.assertEqual(sum(mirrored), 0)
        seen = windows(DistortionOptions(flip_left_right=True, **crop))
        self.assertAlmostEqual(np.mean([one.mirrored for one in seen]), 0.5, delta=0.1)
        together = np.array([(one.mirrored, one.horizontal_position) for one in seen])
        self.assertAlmostEqual(np.corrcoef(together.T)[0, 1], 0, delta=0.2)

    def test_mirroring_changes_nothing_else(self):
        plain = decode(noise(), range(1, 20), DistortionOptions(random_crop=20))
        with_flips = decode(
            noise(), range(1, 20), DistortionOptions(random_crop=20, flip_left_right=True)
        )
        for one, other in zip(plain, with_flips, strict=True):
            expected = one if np.array_equal(one, other) else one[:, ::-1]
            np.testing.assert_array_equal(other, expected)

    def test_brightness_factors_are_uniform_around_one(self):
        options = DistortionOptions(random_brightness=30)
        images = decode(flat(160), range(1, _MANY + 1), options)
        for image in images:
            self.assertEqual(image.min(), image.max())
        self.assert_uniform([image.mean() / 160 for image in images], 0.7, 1.3)

    def test_brightness_multiplies_all_levels_and_clips_them(self):
        options = DistortionOptions(random_brightness=80)
        levels = np.arange(256)
        data = png(np.broadcast_to(levels[np.newaxis, :, np.newaxis], (256, 256, 3)))
        brightened = decode(data, range(1, 40), options, height=256, width=256)
        grey = decode(flat(100), range(1, 40), options)
        for image, grey_image in zip(brightened, grey, strict=True):
            # The factor is known to half a level of 100.
            expected = np.minimum(levels * (grey_image.mean() / 100), 255)
            np.testing.assert_allclose(image[0, :, 0], expected, atol=0.5 + 255 * 0.005)
            self.assertTrue((np.diff(image[0, :, 0].astype(int)) >= 0).all())
        self.assertEqual(max(image.max() for image in brightened), 255)
        self.assertEqual({image.min() for image in brightened}, {0})

    def test_brightness_and_mirroring_are_independent(self):
        options = DistortionOptions(random_crop=20, random_brightness=50, flip_left_right=True)
        ramp = np.broadcast_to(np.linspace(60, 160, 256)[np.newaxis, :, np.newaxis], (80, 256, 3))
        images = decode(png(ramp), range(1, _MANY + 1), options)
        mirrored = [image[0, 0, 0] > image[0, -1, 0] for image in images]
        brightness = [image.mean() for image in images]
        self.assertAlmostEqual(np.corrcoef(mirrored, brightness)[0, 1], 0, delta=0.2)

    def test_equals_resize_and_crop_of_tensorflows_retrain_py(self):
        height, width = 60, 100
        rng = np.random.default_rng(1)
        blurred = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).resize((333, 222))
        options = DistortionOptions(random_crop=20, random_scale=50)
        # With these values the sizes in retrain.py are whole numbers: 1.2 * 1.25 = 1.5.
        for left, top in ((0, 0), (0.5, 1), (0.24, 0.4), (1, 1)):
            distortion = distortions.Distortion(0.5, left, top, 0.5, mirrored=False)
            resized = pixels.resize(blurred, round(1.5 * height), round(1.5 * width))
            row, column = round(top * 0.5 * height), round(left * 0.5 * width)
            expected = resized[row : row + height, column : column + width]
            distorted = distortions.distort(
                blurred, distortion, options, height=height, width=width
            )
            np.testing.assert_allclose(distorted, expected.astype(int), atol=1)


class ReproducibilityTest(parameterized.TestCase):
    def test_a_variant_does_not_depend_on_the_other_variants(self):
        together = decode(noise(), [4, UNDISTORTED, 2, 1], _ALL)
        for number, image in zip([4, UNDISTORTED, 2, 1], together, strict=True):
            (separate,) = decode(noise(), [number], _ALL)
            np.testing.assert_array_equal(image, separate)

    def test_a_variant_is_the_same_in_any_process(self):
        here = [hashlib.sha256(one.tobytes()).hexdigest() for one in decode(noise(), [2, 1], _ALL)]
        for seed in ("1", "2"):
            variables = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed}
            done = run_python(_HASHES_OF_VARIANTS, env={**os.environ, **variables})
            self.assertEqual(done.stdout.split(), here, done.stderr)

    def test_random_values_are_those_of_existing_caches(self):
        # Other values would make all cached variants wrong.
        seen = windows(DistortionOptions(flip_left_right=True), len(_MIRRORED))
        self.assertEqual("".join(str(int(one.mirrored)) for one in seen), _MIRRORED)

    def test_number_seed_and_image_each_change_the_variant(self):
        variants = [
            *decode(noise(), [1, 2, 3], _ALL),
            *decode(noise(), [1], DistortionOptions(10, 20, 30, True, seed=6)),
            *decode(noise(), [1], _ALL, digest=hashlib.sha256(b"another").digest()),
        ]
        self.assertLen({image.tobytes() for image in variants}, 5)

    def test_the_number_of_variants_changes_no_variant(self):
        few, more = (DistortionOptions(random_crop=10, per_image=n) for n in (1, 8))
        np.testing.assert_array_equal(decode(noise(), [1], few), decode(noise(), [1], more))

    @parameterized.parameters("JPEG", "PNG")
    def test_the_undistorted_variant_equals_pixels_decode(self, file_format):
        rng = np.random.default_rng(2)
        image = Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).resize((1000, 700))
        exif = Image.Exif()
        exif[0x0112] = 6  # Rotated by 90 degrees.
        file = io.BytesIO()
        image.save(file, file_format, exif=exif)
        first, _ = decode(file.getvalue(), [UNDISTORTED, 1], _ALL)
        np.testing.assert_array_equal(first, pixels.decode(file.getvalue(), _SIDE, _SIDE))


class FitTest(parameterized.TestCase):
    def decode(self, data: bytes, numbers: Sequence[int], fit: str) -> list[np.ndarray]:
        variants = distortions.decode_variants(
            data, numbers, _ALL, digest=_DIGEST, height=_SIDE, width=_SIDE, fit=fit
        )
        return list(variants)

    def stripes(self, height: int, width: int) -> bytes:
        """Returns a white image whose left and right thirds are black."""
        rgb = np.full((height, width, 3), 255)
        rgb[:, : width // 3] = rgb[:, -(width // 3) :] = 0
        return png(rgb)

    @parameterized.product(fit=[CROP, PAD], size=[(90, 270), (700, 2100), (2100, 700)])
    def test_the_undistorted_variant_equals_pixels_decode(self, fit: str, size: tuple[int, int]):
        data = noise(*size)
        first, _ = self.decode(data, [UNDISTORTED, 1], fit)
        np.testing.assert_array_equal(first, pixels.decode(data, _SIDE, _SIDE, fit=fit))

    @parameterized.parameters((90, 270), (1000, 3000))
    def test_crops_are_taken_from_the_centre(self, height: int, width: int):
        options = DistortionOptions(random_crop=30, random_scale=30)
        variants = distortions.decode_variants(
            self.stripes(height, width),
            range(1, 9),
            options,
            digest=_DIGEST,
            height=_SIDE,
            width=_SIDE,
            fit=CROP,
        )
        for variant in variants:
            self.assertEqual(variant.min(), 255)

    @parameterized.parameters((30, 90), (1000, 3000))
    def test_crops_are_taken_from_the_image_with_its_bars(self, height: int, width: int):
        data = png(np.full((height, width, 3), 255))
        (complete,) = self.decode(data, [UNDISTORTED], PAD)
        self.assertBetween((complete > 127).mean(), 0.3, 0.36)
        for variant in self.decode(data, range(1, 9), PAD):
            # At the scale of 1.1 to 1.32, the band in the middle is so much higher.
            self.assertBetween((variant > 60).mean(), 0.9 * 0.33, 1.1 * 1.32 * 0.34)
            self.assertEqual(variant[:8].max(), 0)
            self.assertEqual(variant[-8:].max(), 0)

    def test_a_narrow_image_takes_little_memory(self):
        data = png(np.full((3, 20_000, 3), 255))
        with mock.patch.object(Image, "new", wraps=Image.new) as new:
            self.decode(data, [UNDISTORTED, 1], PAD)
        for call in new.call_args_list:
            width, height = call.args[1]
            self.assertLessEqual(max(width, height), 20_000)
            self.assertLess(width * height, 200_000)


class ImageTest(parameterized.TestCase):
    @parameterized.parameters("JPEG", "PNG")
    def test_large_images_have_the_same_variants_as_small_ones(self, file_format):
        rng = np.random.default_rng(3)
        scene = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        images = []
        for size in ((320, 240), (2400, 1800)):
            file = io.BytesIO()
            scene.resize(size, Image.Resampling.BICUBIC).save(file, file_format, quality=95)
            images.append(decode(file.getvalue(), range(1, 9), _ALL))
        for small, large in zip(*images, strict=True):
            self.assertLess(np.abs(small.astype(int) - large).mean(), 2)

    @parameterized.parameters(("JPEG", 2), ("MPO", 2), ("PNG", 1), ("BMP", 1), ("WEBP", 1))
    def test_an_image_is_decoded_once_and_a_jpeg_twice(self, file_format, times):
        file = io.BytesIO()
        Image.open(io.BytesIO(noise(700, 900))).save(file, file_format)
        data = file.getvalue()
        with mock.patch.object(
            pixels, "decode_upright", wraps=pixels.decode_upright
        ) as decode_upright:
            first, *distorted = decode(data, range(9), _ALL)
        self.assertEqual(decode_upright.call_count, times)
        np.testing.assert_array_equal(first, pixels.decode(data, _SIDE, _SIDE))
        for number, image in enumerate(distorted, 1):
            (separate,) = decode(data, [number], _ALL)
            np.testing.assert_array_equal(image, separate)

    @parameterized.parameters((1, 1), (1, 300), (300, 1), (2, 3), (3000, 1), (900, 1200))
    def test_variants_have_the_requested_size(self, height, width):
        options = DistortionOptions(100, 100, 100, True)
        for image in decode(noise(height, width), range(9), options, height=40, width=56):
            self.assertEqual((image.shape, image.dtype), ((40, 56, 3), np.uint8))

    def test_refuses_data_that_is_not_an_image(self):
        for data in (b"", b"not an image", noise()[:200]):
            with self.assertRaises(pixels.UnreadableImageError):
                decode(data, [1], _ALL)


if __name__ == "__main__":
    absltest.main()
