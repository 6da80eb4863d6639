"""Plots show the numbers and images they are given, and equal input gives equal files."""

import io

import numpy as np
from absl.testing import absltest
from PIL import Image

from retrain.report import plots


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


class PlotsTest(absltest.TestCase):
    def draw(self, last: float = 0.9) -> bytes:
        series = {"train": [0.2, 0.5, 0.8], "validation": [0.3, float("nan"), last]}
        panels = {"loss": series, "accuracy": series}
        return plots.draw_curves(panels, [1, 2, 3], selected=3)

    def test_curves(self):
        pixels = _pixels(self.draw())
        self.assertGreater(pixels.shape[1], 1.5 * pixels.shape[0])
        # Blue and orange, the first colours of matplotlib, in both halves.
        for half in np.array_split(pixels, 2, axis=1):
            for colour in ((31, 119, 180), (255, 127, 14)):
                self.assertGreater(np.sum(np.abs(half - colour).sum(2) < 20), 50)

    def test_a_single_step_has_a_visible_marker_and_integer_ticks(self):
        drawn, figures = plots._new_figure, []
        with absltest.mock.patch.object(
            plots, "_new_figure", lambda *size: figures.append(drawn(*size)) or figures[-1]
        ):
            pixels = _pixels(plots.draw_curves({"loss": {"train": [0.2]}}, [7], selected=7))
        (axis,) = figures[0].axes
        self.assertEqual(axis.get_xlim(), (6, 8))
        self.assertEqual([text.get_text() for text in axis.get_xticklabels()], ["6", "7", "8"])
        # Without the marker in the legend.
        half = np.abs(pixels[:, : pixels.shape[1] * 2 // 3] - (31, 119, 180)).sum(2)
        self.assertGreater(np.sum(half < 20), 30)

    def test_equal_numbers_give_equal_bytes_and_other_numbers_do_not(self):
        self.assertEqual(self.draw(), self.draw())
        self.assertNotEqual(self.draw(), self.draw(last=0.4))

    def test_many_steps_are_drawn_as_means_over_the_points(self):
        values = np.random.default_rng(0).uniform(0, 1, 500)
        pixels = _pixels(plots.draw_curves({"loss": {"train": values}}, range(500), x_label="step"))
        strong = np.argwhere(np.abs(pixels - (31, 119, 180)).sum(2) < 20)
        height = pixels.shape[0]
        # Means of uniform numbers are near their middle.
        spread = strong[strong[:, 1] < 400][:, 0].std()
        self.assertLess(spread, height / 8)

    def test_curves_on_a_logarithmic_axis(self):
        panels = {"accuracy": {"left out": [0.1, 0.9, 0.5]}}
        plain, logarithmic = (
            plots.draw_curves(panels, [0.01, 0.1, 1], x_label="C", selected=0.1, logarithmic=on)
            for on in (False, True)
        )
        self.assertNotEqual(plain, logarithmic)

    def test_confusion_matrix_colours_are_fractions_of_each_class(self):
        few = plots.draw_confusion_matrix(
            np.array([[1, 0], [0, 900]]), ["$a", "b\n"], title="Title"
        )
        mixed = plots.draw_confusion_matrix(
            np.array([[1, 0], [450, 450]]), ["$a", "b\n"], title="Title"
        )
        # The darkest blue means all images of a class, whatever their number.
        darkest = (8, 48, 107)
        right, half = (np.mean(np.abs(_pixels(png) - darkest).sum(2) < 9) for png in (few, mixed))
        self.assertGreater(right, 1.5 * half)
        self.assertGreater(half, 0.01)

    def test_confusion_matrix_has_a_maximum_size(self):
        sizes = [
            _pixels(plots.draw_confusion_matrix(np.eye(count, dtype=int), ["x"] * count)).shape[0]
            for count in (31, 150, 300)
        ]
        self.assertEqual(sizes[1], sizes[2])
        self.assertLess(sizes[2], 1700)


if __name__ == "__main__":
    absltest.main()
