"""Heat maps are drawn in the right place, in colours that everybody can tell apart."""

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.data.fitting import resize_to_fit
from retrain.heat_maps import overlay
from retrain.metadata import CROP, PAD, STRETCH


def _luminance(colours: np.ndarray) -> np.ndarray:
    return colours @ np.array((0.299, 0.587, 0.114))


class DrawTest(parameterized.TestCase):
    def test_the_highest_place_is_yellow_and_the_lowest_is_dark(self):
        image = np.full((40, 60, 3), 128, np.uint8)
        heat_map = np.zeros((4, 6), np.float32)
        heat_map[1, 4] = 5
        drawn = overlay.draw(image, heat_map)
        self.assertEqual((drawn.shape, drawn.dtype), ((40, 60, 3), np.uint8))
        row, column = np.unravel_index(_luminance(drawn).argmax(), drawn.shape[:2])
        self.assertTrue(10 <= row < 20 and 40 <= column < 50, (row, column))
        red, green, blue = drawn[row, column].tolist()
        self.assertGreater(min(red, green), blue)
        self.assertLess(_luminance(drawn[0, 0]), 100)

    def test_only_the_order_and_the_relative_distances_of_the_values_matter(self):
        rng = np.random.default_rng(0)
        image = rng.integers(0, 256, (9, 9, 3), np.uint8)
        heat_map = rng.integers(0, 16, (3, 3)).astype(np.float32)
        expected = overlay.draw(image, heat_map)
        for other in (heat_map - 64, heat_map + 64, heat_map * 4):
            np.testing.assert_allclose(overlay.draw(image, other), expected, atol=3)

    def test_colours_become_lighter_from_the_least_to_the_most(self):
        colours = overlay.colour_scale(256)
        self.assertEqual((colours.shape, colours.dtype), ((256, 3), np.float32))
        self.assertGreater(np.diff(_luminance(colours)).min(), 0)

    def test_the_image_can_be_seen_through_the_colours(self):
        image = np.zeros((8, 8, 3), np.uint8)
        image[:, 4:] = 255
        for heat_map in (np.zeros((2, 2), np.float32), np.eye(2, dtype=np.float32)):
            drawn = _luminance(overlay.draw(image, heat_map))
            self.assertGreater((drawn[:, 5] - drawn[:, 3]).min(), 40)

    def test_there_is_no_colour_where_the_map_is_not_a_number(self):
        image = np.random.default_rng(0).integers(0, 256, (10, 10, 3), np.uint8)
        heat_map = np.ones((10, 10), np.float32)
        heat_map[0, 0] = 0
        heat_map[:, 5:] = np.nan
        drawn = overlay.draw(image, heat_map)
        grey = np.rint(_luminance(image))[:, 5:]
        for channel in range(3):
            np.testing.assert_allclose(drawn[:, 5:, channel], grey, atol=1)

    def test_a_map_without_any_number_leaves_the_image_grey(self):
        image = np.full((4, 4, 3), 99, np.uint8)
        drawn = overlay.draw(image, np.full((2, 2), np.nan, np.float32))
        np.testing.assert_array_equal(drawn, image)


class PlaceTest(parameterized.TestCase):
    @parameterized.product(fit=(STRETCH, CROP, PAD), size=((300, 120), (120, 300), (96, 96)))
    def test_the_map_is_highest_where_the_network_saw_the_brightest_spot(self, fit, size):
        """The network's input is its own heat map here."""
        width, height = size
        image = Image.new("RGB", size)
        spot = (width // 2 + 15, height // 2 - 15)
        image.paste((255, 255, 255), (spot[0] - 10, spot[1] - 10, spot[0] + 10, spot[1] + 10))
        seen = resize_to_fit(image, 64, 48, fit=fit)[..., 0].astype(np.float32)
        placed = overlay.place(seen, (height, width), (64, 48), fit)
        self.assertEqual(placed.shape, (height, width))
        rows, columns = np.nonzero(placed > 128)
        np.testing.assert_allclose((columns.mean(), rows.mean()), spot, atol=3)

    def test_what_the_network_did_not_see_is_not_a_number(self):
        placed = overlay.place(np.ones((7, 7), np.float32), (100, 300), (224, 224), CROP)
        np.testing.assert_array_equal(
            np.isnan(placed[50]), [True] * 100 + [False] * 100 + [True] * 100
        )


if __name__ == "__main__":
    absltest.main()
