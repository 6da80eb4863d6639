"""A grid shows all images, with their labels, as they are."""

import io

import numpy as np
from absl.testing import absltest
from PIL import Image

from retrain.report import image_grid


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


class ImageGridTest(absltest.TestCase):
    def test_a_grid_shows_each_image(self):
        colours = np.array([(250, 0, 0), (0, 250, 0), (0, 0, 250)] * 4, np.uint8)
        images = np.broadcast_to(colours[:, None, None], (12, 9, 9, 3))
        labels = ["$a$", "b\n", "\x1b[2J", "e" * 100] * 3
        pixels = _pixels(image_grid.draw_grid(images, labels, title="Dollars: $x"))
        for colour in colours[:3]:
            share = np.mean(np.abs(pixels - colour).sum(2) < 9)
            self.assertBetween(share, 0.08, 0.3)

    def test_a_grid_in_grey_does_not_stretch_contrast(self):
        images = np.full((1, 9, 9, 1), 100.0)
        pixels = _pixels(image_grid.draw_grid(images, ["grey"]))
        self.assertGreater(np.mean(np.abs(pixels - 100).sum(2) < 9), 0.2)

    def test_a_grid_scales_images_by_integers(self):
        rng = np.random.default_rng(0)
        small = rng.integers(0, 256, (28, 28, 3)).astype(np.uint8)
        enlarged = small.repeat(4, axis=0).repeat(4, axis=1)
        even = np.full((224, 224, 3), 77, np.uint8)
        for image, cell in ((small, enlarged), (even, even[::2, ::2])):
            drawn = _pixels(image_grid.draw_grid([image], ["a"]))
            left = (drawn.shape[1] - 112) // 2
            found = [
                np.array_equal(drawn[row : row + 112, left : left + 112], cell)
                for row in range(drawn.shape[0] - 112)
            ]
            self.assertEqual(sum(found), 1)

    def test_a_grid_is_as_wide_as_its_title(self):
        image = np.zeros((1, 9, 9, 3), np.uint8)
        narrow, wide = (
            _pixels(image_grid.draw_grid(image, ["a"], title=title * 99)) for title in ("", "a")
        )
        self.assertGreater(wide.shape[1], 4 * narrow.shape[1])

    def test_a_grid_has_glyphs_of_many_languages(self):
        image = np.zeros((1, 112, 112, 3), np.uint8)
        grids = [image_grid.draw_grid(image, [label]) for label in ("é", "e", "ж", "\uffff")]
        self.assertLen(set(grids), 4)

    def test_the_sample_has_images_of_each_class(self):
        class_ids = np.array([2, 0, 0, 1, 0, 2, 0, 0])
        self.assertEqual(image_grid.sample_per_class(class_ids, 5).tolist(), [1, 2, 3, 0, 5])
        self.assertEqual(
            image_grid.sample_per_class(class_ids, 99).tolist(), [1, 2, 4, 6, 7, 3, 0, 5]
        )


if __name__ == "__main__":
    absltest.main()
