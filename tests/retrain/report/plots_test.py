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
        return plots.curves(panels, [1, 2, 3], selected=3)

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
            pixels = _pixels(plots.curves({"loss": {"train": [0.2]}}, [7], selected=7))
        (axis,) = figures[0].axes
        self.assertEqual(axis.get_xlim(), (6, 8))
        self.assertEqual([text.get_text() for text in axis.get_xticklabels()], ["6", "7", "8"])
        # Without the marker in the legend.
        half = np.abs(pixels[:, : pixels.shape[1] * 2 // 3] - (31, 119, 180)).sum(2)
        self.assertGreater(np.sum(half < 20), 30)

    def test_equal_numbers_give_equal_bytes_and_other_numbers_do_not(self):
        self.assertEqual(self.draw(), self.draw())
        self.assertNotEqual(self.draw(), self.draw(last=0.4))

    def test_grid_shows_each_image(self):
        colours = np.array([(250, 0, 0), (0, 250, 0), (0, 0, 250)] * 4, np.uint8)
        images = np.broadcast_to(colours[:, None, None], (12, 9, 9, 3))
        labels = ["$a$", "b\n", "\x1b[2J", "e" * 100] * 3
        pixels = _pixels(plots.image_grid(images, labels, title="Dollars: $x"))
        for colour in colours[:3]:
            share = np.mean(np.abs(pixels - colour).sum(2) < 9)
            self.assertBetween(share, 0.08, 0.3)

    def test_grid_in_grey_does_not_stretch_contrast(self):
        images = np.full((1, 9, 9, 1), 100.0)
        pixels = _pixels(plots.image_grid(images, ["grey"]))
        self.assertGreater(np.mean(np.abs(pixels - 100).sum(2) < 9), 0.2)

    def test_grid_scales_images_by_integers(self):
        rng = np.random.default_rng(0)
        small = rng.integers(0, 256, (28, 28, 3)).astype(np.uint8)
        enlarged = small.repeat(4, axis=0).repeat(4, axis=1)
        even = np.full((224, 224, 3), 77, np.uint8)
        for image, cell in ((small, enlarged), (even, even[::2, ::2])):
            drawn = _pixels(plots.image_grid([image], ["a"]))
            left = (drawn.shape[1] - 112) // 2
            found = [
                np.array_equal(drawn[row : row + 112, left : left + 112], cell)
                for row in range(drawn.shape[0] - 112)
            ]
            self.assertEqual(sum(found), 1)

    def test_grid_is_as_wide_as_its_title(self):
        image = np.zeros((1, 9, 9, 3), np.uint8)
        narrow, wide = (
            _pixels(plots.image_grid(image, ["a"], title=title * 99)) for title in ("", "a")
        )
        self.assertGreater(wide.shape[1], 4 * narrow.shape[1])

    def test_grid_has_glyphs_of_many_languages(self):
        image = np.zeros((1, 112, 112, 3), np.uint8)
        grids = [plots.image_grid(image, [label]) for label in ("é", "e", "ж", "\uffff")]
        self.assertLen(set(grids), 4)

    def test_the_sample_has_images_of_each_class(self):
        class_ids = np.array([2, 0, 0, 1, 0, 2, 0, 0])
        self.assertEqual(plots.sample_per_class(class_ids, 5).tolist(), [1, 2, 3, 0, 5])
        self.assertEqual(plots.sample_per_class(class_ids, 99).tolist(), [1, 2, 4, 6, 7, 3, 0, 5])

    def test_many_steps_are_drawn_as_means_over_the_points(self):
        values = np.random.default_rng(0).uniform(0, 1, 500)
        pixels = _pixels(plots.curves({"loss": {"train": values}}, range(500), x_label="step"))
        strong = np.argwhere(np.abs(pixels - (31, 119, 180)).sum(2) < 20)
        height = pixels.shape[0]
        # Means of uniform numbers are near their middle.
        spread = strong[strong[:, 1] < 400][:, 0].std()
        self.assertLess(spread, height / 8)

    def test_curves_on_a_logarithmic_axis(self):
        panels = {"accuracy": {"left out": [0.1, 0.9, 0.5]}}
        plain, logarithmic = (
            plots.curves(panels, [0.01, 0.1, 1], x_label="C", selected=0.1, logarithmic=on)
            for on in (False, True)
        )
        self.assertNotEqual(plain, logarithmic)

    def test_confusion_matrix_colours_are_fractions_of_each_class(self):
        few = plots.confusion_matrix(np.array([[1, 0], [0, 900]]), ["$a", "b\n"], title="Title")
        mixed = plots.confusion_matrix(np.array([[1, 0], [450, 450]]), ["$a", "b\n"], title="Title")
        # The darkest blue means all images of a class, whatever their number.
        darkest = (8, 48, 107)
        right, half = (np.mean(np.abs(_pixels(png) - darkest).sum(2) < 9) for png in (few, mixed))
        self.assertGreater(right, 1.5 * half)
        self.assertGreater(half, 0.01)

    def test_confusion_matrix_has_a_maximum_size(self):
        sizes = [
            _pixels(plots.confusion_matrix(np.eye(count, dtype=int), ["x"] * count)).shape[0]
            for count in (31, 150, 300)
        ]
        self.assertEqual(sizes[1], sizes[2])
        self.assertLess(sizes[2], 1700)


if __name__ == "__main__":
    absltest.main()
