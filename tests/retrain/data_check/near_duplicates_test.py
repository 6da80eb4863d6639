"""Changed copies of images are found, and similar images are not taken for copies."""

import io

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image, ImageDraw

from retrain.data_check import alignment, image_facts, near_duplicates
from tests.support import natural_images

_ORIGINALS = [natural_images.draw(seed) for seed in range(40)]


def _thumbnail(image: Image.Image, *, quality: int = 90) -> np.ndarray:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return image_facts.measure(buffer.getvalue())["thumbnail"]


def _crop(image: Image.Image, *shares: float) -> Image.Image:
    left, upper, right, lower = shares
    width, height = image.size
    return image.crop(
        (left * width, upper * height, (1 - right) * width, (1 - lower) * height)
    ).convert("RGB")


_CHANGES = {
    "encoded again": lambda image: image,
    "half size": lambda image: image.resize((80, 60)),
    "other shape": lambda image: image.resize((100, 100)),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "brighter": lambda image: image.point(lambda value: value * 0.7 + 60),
    "cropped on all sides": lambda image: _crop(image, 0.05, 0.05, 0.05, 0.05),
    "cropped on one side": lambda image: _crop(image, 0, 0, 0.1, 0),
}


class FindTest(parameterized.TestCase):
    @parameterized.parameters(*_CHANGES)
    def test_finds_copies_and_nothing_else(self, change):
        copies = [_thumbnail(_CHANGES[change](image), quality=40) for image in _ORIGINALS[:10]]
        thumbnails = np.stack([*map(_thumbnail, _ORIGINALS), *copies])
        found = near_duplicates.find(thumbnails)
        self.assertEqual(found.pairs.tolist(), [[i, 40 + i] for i in range(10)])
        self.assertGreater(found.correlations.min(), 0.985)

    def test_another_object_before_the_same_background_is_another_image(self):
        thumbnails = []
        for x in (20, 60, 100):
            image = _ORIGINALS[0].copy()
            ImageDraw.Draw(image).ellipse((x, 30, x + 40, 90), fill="white", outline="black")
            thumbnails.append(_thumbnail(image))
        self.assertEmpty(near_duplicates.find(np.stack(thumbnails)).pairs)

    def test_images_of_single_colours_are_not_compared(self):
        thumbnails = np.full((4, 32, 32), 100, np.uint8)
        thumbnails[:, ::3] += 1
        self.assertEmpty(near_duplicates.find(thumbnails).pairs)

    @parameterized.parameters(0, 1)
    def test_fewer_than_two_images(self, count):
        self.assertEmpty(near_duplicates.find(np.zeros((count, 32, 32), np.uint8)).pairs)

    def test_candidates_of_the_features_are_looked_at(self):
        # There are more equal images than neighbours, so only the candidate names the last pair.
        thumbnails = np.stack([_thumbnail(_ORIGINALS[0])] * 12)
        candidate = np.array([[10, 11]])
        self.assertNotIn([10, 11], near_duplicates.find(thumbnails).pairs.tolist())
        self.assertIn([10, 11], near_duplicates.find(thumbnails, candidate).pairs.tolist())


class AlignTest(absltest.TestCase):
    def test_finds_the_shift_and_the_stretch(self):
        whole, part = (
            _thumbnail(image).astype(np.float32)[np.newaxis]
            for image in (_ORIGINALS[3], _crop(_ORIGINALS[3], 0.1, 0, 0, 0.08))
        )
        before = np.corrcoef(whole.ravel(), part.ravel())[0, 1]
        after = float(alignment.align(whole, part, iterations=8)[0])
        self.assertLess(before, 0.9)
        self.assertGreater(after, 0.985)


if __name__ == "__main__":
    absltest.main()
