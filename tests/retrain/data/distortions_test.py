"""Distortions are those of the original, and each is the same whenever it is asked for."""

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.config import DistortionOptions
from retrain.data import distortions, pixels
from retrain.data.distortions import UNDISTORTED

_SIDE = 64
_MANY = 400
_DIGEST = hashlib.sha256(b"an image").digest()
_ALL = DistortionOptions(
    random_crop=10, random_scale=20, random_brightness=30, flip_left_right=True, seed=5
)
# Which of the first variants of `_DIGEST` with seed 0 are mirrored.
_MIRRORED = "1111001101100111"

_HASH_OF_VARIANTS = """
import hashlib
from retrain.config import DistortionOptions
from tests import distortions_test as test
options = DistortionOptions(10, 20, 30, True, seed=5)
for image in test.made(test.noise(), [2, 1], options):
    print(hashlib.sha256(image.tobytes()).hexdigest())
"""


class Window(NamedTuple):
    """What part of `ramps` is seen: bounds from 0 to 1, right less than left where mirrored."""

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
    def across(self) -> float:
        """Where the window is between as far left as can be, 0, and as far right, 1."""
        return min(self.left, self.right) / (1 - 1 / self.scale)

    @property
    def down(self) -> float:
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
    """Draws an image whose red tells the column, and whose green tells the row."""
    rows, columns = np.mgrid[:256, :256]
    return png(np.stack([columns, rows, 0 * rows], axis=-1))


def window(image: np.ndarray) -> Window:
    # The resizing filter leaves out what is beyond the border, which bends the ramps there.
    inner = slice(4, -4)
    centres = (np.arange(_SIDE) + 0.5)[inner]
    bounds = []
    for levels in (image[:, :, 0].mean(axis=0), image[:, :, 1].mean(axis=1)):
        slope, first = np.polyfit(centres, (levels[inner] + 0.5) / 256, 1)
        bounds += [first, first + slope * _SIDE]
    return Window(*bounds)


def made(
    data: bytes,
    numbers: Sequence[int],
    options: DistortionOptions,
    digest: bytes = _DIGEST,
    height: int = _SIDE,
    width: int = _SIDE,
) -> list[np.ndarray]:
    return list(distortions.variants(data, digest, numbers, height, width, options))


def windows(options: DistortionOptions, count: int = _MANY) -> list[Window]:
    return [window(image) for image in made(ramps(), range(1, count + 1), options)]


class MathematicsTest(parameterized.TestCase):
    """Values for a seed that is fixed, which pass for about all seeds."""

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

    def test_a_crop_is_at_any_place_in_the_image(self):
        seen = windows(DistortionOptions(random_crop=50))
        self.assert_uniform([one.across for one in seen], 0, 1)
        self.assert_uniform([one.down for one in seen], 0, 1)
        places = np.array([(one.across, one.down) for one in seen])
        self.assertAlmostEqual(np.corrcoef(places.T)[0, 1], 0, delta=0.2)

    def test_a_scale_is_between_none_and_the_percentage(self):
        seen = windows(DistortionOptions(random_scale=40))
        self.assert_uniform([one.scale for one in seen], 1, 1.4)

    def test_a_crop_and_a_scale_multiply(self):
        seen = windows(DistortionOptions(random_crop=50, random_scale=40))
        self.assert_uniform([one.scale for one in seen], 1.5, 1.5 * 1.4)

    def test_windows_stay_in_the_image(self):
        for seen in windows(DistortionOptions(random_crop=100, random_scale=100)):
            for bound in seen:
                self.assertBetween(bound, -0.01, 1.01)

    def test_half_are_mirrored_where_it_is_asked_for(self):
        crop = {"random_crop": 20}
        mirrored = [one.mirrored for one in windows(DistortionOptions(**crop))]
        self.assertEqual(sum(mirrored), 0)
        seen = windows(DistortionOptions(flip_left_right=True, **crop))
        self.assertAlmostEqual(np.mean([one.mirrored for one in seen]), 0.5, delta=0.1)
        together = np.array([(one.mirrored, one.across) for one in seen])
        self.assertAlmostEqual(np.corrcoef(together.T)[0, 1], 0, delta=0.2)

    def test_a_mirrored_variant_is_the_other_one_from_right_to_left(self):
        plain = made(noise(), range(1, 20), DistortionOptions(random_crop=20))
        with_flips = made(
            noise(), range(1, 20), DistortionOptions(random_crop=20, flip_left_right=True)
        )
        for one, other in zip(plain, with_flips, strict=True):
            wanted = one if np.array_equal(one, other) else one[:, ::-1]
            np.testing.assert_array_equal(other, wanted)

    def test_brightness_is_a_factor_that_is_as_often_above_one_as_below(self):
        options = DistortionOptions(random_brightness=30)
        images = made(flat(160), range(1, _MANY + 1), options)
        for image in images:
            self.assertEqual(image.min(), image.max())
        self.assert_uniform([image.mean() / 160 for image in images], 0.7, 1.3)

    def test_brightness_multiplies_every_level_and_stays_in_range(self):
        options = DistortionOptions(random_brightness=80)
        levels = np.arange(256)
        data = png(np.broadcast_to(levels[np.newaxis, :, np.newaxis], (256, 256, 3)))
        brightened = made(data, range(1, 40), options, height=256, width=256)
        grey = made(flat(100), range(1, 40), options)
        for image, of_100 in zip(brightened, grey, strict=True):
            # The factor is known to half a level of 100.
            wanted = np.minimum(levels * (of_100.mean() / 100), 255)
            np.testing.assert_allclose(image[0, :, 0], wanted, atol=0.5 + 255 * 0.005)
            self.assertTrue((np.diff(image[0, :, 0].astype(int)) >= 0).all())
        self.assertEqual(max(image.max() for image in brightened), 255)
        self.assertEqual({image.min() for image in brightened}, {0})

    def test_brightness_and_mirroring_are_drawn_apart(self):
        options = DistortionOptions(random_crop=20, random_brightness=50, flip_left_right=True)
        ramp = np.broadcast_to(np.linspace(60, 160, 256)[np.newaxis, :, np.newaxis], (80, 256, 3))
        images = made(png(ramp), range(1, _MANY + 1), options)
        mirrored = [image[0, 0, 0] > image[0, -1, 0] for image in images]
        brightness = [image.mean() for image in images]
        self.assertAlmostEqual(np.corrcoef(mirrored, brightness)[0, 1], 0, delta=0.2)

    def test_it_is_the_original_s_resize_and_crop_in_one_step(self):
        height, width = 60, 100
        rng = np.random.default_rng(1)
        blurred = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).resize((333, 222))
        options = DistortionOptions(random_crop=20, random_scale=50)
        # Draws with which the original's sizes are whole numbers: 1.2 * 1.25 = 1.5 times.
        for left, top in ((0, 0), (0.5, 1), (0.24, 0.4), (1, 1)):
            draw = distortions.Draw(0.5, left, top, 0.5, mirrored=False)
            resized = pixels.resize(blurred, round(1.5 * height), round(1.5 * width))
            row, column = round(top * 0.5 * height), round(left * 0.5 * width)
            wanted = resized[row : row + height, column : column + width]
            found = distortions.distort(blurred, height, width, options, draw)
            np.testing.assert_allclose(found, wanted.astype(int), atol=1)


class SamenessTest(parameterized.TestCase):
    def test_a_variant_is_the_same_in_any_order_and_company(self):
        together = made(noise(), [4, UNDISTORTED, 2, 1], _ALL)
        for number, image in zip([4, UNDISTORTED, 2, 1], together, strict=True):
            (alone,) = made(noise(), [number], _ALL)
            np.testing.assert_array_equal(image, alone)

    def test_a_variant_is_the_same_in_any_process(self):
        here = [hashlib.sha256(one.tobytes()).hexdigest() for one in made(noise(), [2, 1], _ALL)]
        for seed in ("1", "2"):
            variables = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed}
            command = [sys.executable, "-c", _HASH_OF_VARIANTS]
            there = subprocess.check_output(command, env={**os.environ, **variables}, text=True)
            self.assertEqual(there.split(), here)

    def test_draws_are_those_that_caches_were_made_with(self):
        # Whoever changes them makes every cached variant stand for another one than its number.
        seen = windows(DistortionOptions(flip_left_right=True), len(_MIRRORED))
        self.assertEqual("".join(str(int(one.mirrored)) for one in seen), _MIRRORED)

    def test_number_seed_and_image_each_make_another_variant(self):
        variants = [
            *made(noise(), [1, 2, 3], _ALL),
            *made(noise(), [1], DistortionOptions(10, 20, 30, True, seed=6)),
            *made(noise(), [1], _ALL, digest=hashlib.sha256(b"another").digest()),
        ]
        self.assertLen({image.tobytes() for image in variants}, 5)

    def test_the_number_of_variants_changes_none(self):
        few, more = (DistortionOptions(random_crop=10, per_image=n) for n in (1, 8))
        np.testing.assert_array_equal(made(noise(), [1], few), made(noise(), [1], more))

    @parameterized.parameters("JPEG", "PNG")
    def test_the_first_is_the_image_as_it_is_everywhere_else(self, file_format):
        rng = np.random.default_rng(2)
        image = Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).resize((1000, 700))
        exif = Image.Exif()
        exif[0x0112] = 6  # To be turned by 90 degrees.
        file = io.BytesIO()
        image.save(file, file_format, exif=exif)
        first, _ = made(file.getvalue(), [UNDISTORTED, 1], _ALL)
        np.testing.assert_array_equal(first, pixels.decode(file.getvalue(), _SIDE, _SIDE))


class ImageTest(parameterized.TestCase):
    @parameterized.parameters("JPEG", "PNG")
    def test_large_images_show_what_small_ones_show(self, file_format):
        rng = np.random.default_rng(3)
        scene = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        images = []
        for size in ((320, 240), (2400, 1800)):
            file = io.BytesIO()
            scene.resize(size, Image.Resampling.BICUBIC).save(file, file_format, quality=95)
            images.append(made(file.getvalue(), range(1, 9), _ALL))
        for small, large in zip(*images, strict=True):
            self.assertLess(np.abs(small.astype(int) - large).mean(), 2)

    @parameterized.parameters(("JPEG", 2), ("MPO", 2), ("PNG", 1), ("BMP", 1), ("WEBP", 1))
    def test_an_image_is_decoded_once_and_a_jpeg_once_more_as_it_is(self, file_format, times):
        file = io.BytesIO()
        Image.open(io.BytesIO(noise(700, 900))).save(file, file_format)
        data = file.getvalue()
        with mock.patch.object(pixels, "upright", wraps=pixels.upright) as upright:
            first, *distorted = made(data, range(9), _ALL)
        self.assertEqual(upright.call_count, times)
        np.testing.assert_array_equal(first, pixels.decode(data, _SIDE, _SIDE))
        for number, image in enumerate(distorted, 1):
            (alone,) = made(data, [number], _ALL)
            np.testing.assert_array_equal(image, alone)

    @parameterized.parameters((1, 1), (1, 300), (300, 1), (2, 3), (3000, 1), (900, 1200))
    def test_images_of_any_size_have_variants_of_one_size(self, height, width):
        options = DistortionOptions(100, 100, 100, True)
        for image in made(noise(height, width), range(9), options, height=40, width=56):
            self.assertEqual((image.shape, image.dtype), ((40, 56, 3), np.uint8))

    def test_what_is_no_image_is_told(self):
        for data in (b"", b"no image", noise()[:200]):
            with self.assertRaises(pixels.UnreadableImageError):
                made(data, [1], _ALL)


if __name__ == "__main__":
    absltest.main()
