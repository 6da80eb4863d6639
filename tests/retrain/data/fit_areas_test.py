"""Tests which parts of an image and of a network's input correspond to each other."""

import itertools
from fractions import Fraction

from absl.testing import absltest, parameterized

from retrain.data.fit_areas import Area, cropped_area, padded_area

_SIZES = [1, 2, 3, 7, 99, 100, 101, 223, 500, 4001]


def _round_half_up(number: Fraction) -> int:
    return int(number + Fraction(1, 2))


class AreaTest(parameterized.TestCase):
    @parameterized.parameters(
        ((500, 375), 224, 224, Area(62, 0, 375, 375)),
        ((375, 500), 224, 224, Area(0, 62, 375, 375)),
        ((300, 300), 224, 224, Area(0, 0, 300, 300)),
        ((400, 100), 50, 100, Area(100, 0, 200, 100)),
        ((1, 900), 224, 224, Area(0, 449, 1, 1)),
        ((900, 1), 224, 32, Area(449, 0, 1, 1)),
    )
    def test_largest_area_in_the_centre(self, size, height, width, expected):
        self.assertEqual(cropped_area(size, height, width), expected)

    @parameterized.parameters(
        ((500, 375), 224, 224, Area(0, 28, 224, 168)),
        ((375, 500), 224, 224, Area(28, 0, 168, 224)),
        ((30, 30), 224, 224, Area(0, 0, 224, 224)),
        ((400, 100), 50, 100, Area(0, 12, 100, 25)),
        ((1, 900), 224, 224, Area(111, 0, 1, 224)),
        ((900, 1), 224, 224, Area(0, 111, 224, 1)),
    )
    def test_whole_image_in_the_centre_of_the_result(self, size, height, width, expected):
        self.assertEqual(padded_area(size, height, width), expected)

    @parameterized.product(result=[(224, 224), (224, 160), (1, 7)])
    def test_areas_lie_within_and_keep_the_aspect_ratio(self, result):
        height, width = result
        for own_width, own_height in itertools.product(_SIZES, repeat=2):
            crop = cropped_area((own_width, own_height), height, width)
            pad = padded_area((own_width, own_height), height, width)
            for area, (outer_width, outer_height) in (
                (crop, (own_width, own_height)),
                (pad, (width, height)),
            ):
                left, top, right, bottom = area.box
                self.assertLessEqual(0, min(left, top))
                self.assertLess(left, right)
                self.assertLess(top, bottom)
                self.assertLessEqual(right, outer_width)
                self.assertLessEqual(bottom, outer_height)
                # Both margins are equal, or the second is one pixel wider.
                self.assertIn(outer_width - right - left, (0, 1))
                self.assertIn(outer_height - bottom - top, (0, 1))
                self.assertTrue(area.width == outer_width or area.height == outer_height)
            self.assertEqual(
                crop.width,
                min(own_width, max(1, _round_half_up(Fraction(own_height * width, height)))),
            )
            self.assertEqual(
                pad.height,
                min(height, max(1, _round_half_up(Fraction(own_height * width, own_width)))),
            )


if __name__ == "__main__":
    absltest.main()
