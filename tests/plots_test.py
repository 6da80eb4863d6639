"""Drawings are PNG files that show what they were given, the same for the same."""

import io

import numpy as np
from absl.testing import absltest
from PIL import Image

from retrain import plots


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


class PlotsTest(absltest.TestCase):
    def draw(self, last: float = 0.9) -> bytes:
        series = {"train": [0.2, 0.5, 0.8], "validation": [0.3, float("nan"), last]}
        panels = {"loss": series, "accuracy": series}
        return plots.curves(panels, [1, 2, 3], marked=3)

    def test_curves(self):
        pixels = _pixels(self.draw())
        self.assertGreater(pixels.shape[1], 1.5 * pixels.shape[0])
        # Blue and orange, the first colours of matplotlib, in both halves.
        for half in np.array_split(pixels, 2, axis=1):
            for colour in ((31, 119, 180), (255, 127, 14)):
                self.assertGreater(np.sum(np.abs(half - colour).sum(2) < 20), 50)

    def test_equal_numbers_give_equal_bytes_others_do_not(self):
        self.assertEqual(self.draw(), self.draw())
        self.assertNotEqual(self.draw(), self.draw(last=0.4))

    def test_grid_shows_each_picture(self):
        colours = np.array([(250, 0, 0), (0, 250, 0), (0, 0, 250)] * 4, np.uint8)
        pictures = np.broadcast_to(colours[:, None, None], (12, 9, 9, 3))
        labels = ["$a$", "b\n", "\x1b[2J", "e" * 100] * 3
        pixels = _pixels(plots.grid(pictures, labels, title="Dollars: $x"))
        for colour in colours[:3]:
            share = np.mean(np.abs(pixels - colour).sum(2) < 9)
            self.assertBetween(share, 0.08, 0.3)

    def test_grid_in_grey_does_not_stretch_contrast(self):
        pictures = np.full((1, 9, 9, 1), 100.0)
        pixels = _pixels(plots.grid(pictures, ["grey"]))
        self.assertGreater(np.mean(np.abs(pixels - 100).sum(2) < 9), 0.2)

    def test_summary_holds_the_file(self):
        png = self.draw()
        (value,) = plots.summary("curves", png).value
        self.assertEqual(value.tag, "curves")
        height, width, _ = _pixels(png).shape
        self.assertEqual((value.image.height, value.image.width), (height, width))
        self.assertEqual(value.image.encoded_image_string, png)


if __name__ == "__main__":
    absltest.main()
