"""Pixels mean what the file says, or else the user, who must say it once."""

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from tools.conversion.preprocessing import PixelChoices, chosen
from tools.conversion.source import Pixels, Source

_KNOWN = Pixels("RGB", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))


def _source(channels=3, pixels=None):
    return Source(lambda image: image, 8, 8, channels, pixels=pixels)


class ChosenTest(parameterized.TestCase):
    def test_what_the_file_says(self):
        self.assertEqual(chosen(PixelChoices(), _source(pixels=_KNOWN)), _KNOWN)

    def test_the_user_overrides_it(self):
        self.assertEqual(
            chosen(PixelChoices(mean=(1.0,), std=(2.0,)), _source(pixels=_KNOWN)),
            Pixels("RGB", (1.0,) * 3, (2.0,) * 3),
        )

    @parameterized.parameters(
        (PixelChoices(std=(255.0,)), Pixels("RGB", (0.0,) * 3, (255.0,) * 3)),
        (PixelChoices(mean=(1.0, 2.0, 3.0)), Pixels("RGB", (1.0, 2.0, 3.0), (1.0,) * 3)),
        (PixelChoices(mean=(1.0,), is_bgr=True), Pixels("BGR", (1.0,) * 3, (1.0,) * 3)),
        (PixelChoices(image_scale=0.5), Pixels("RGB", (0.0,) * 3, (2.0,) * 3)),
        (
            PixelChoices(red_bias=-3.0, green_bias=-2.0, blue_bias=-1.0),
            Pixels("RGB", (3.0, 2.0, 1.0), (1.0,) * 3),
        ),
        (
            PixelChoices(is_bgr=True, red_bias=-3.0, green_bias=-2.0, blue_bias=-1.0),
            Pixels("BGR", (1.0, 2.0, 3.0), (1.0,) * 3),
        ),
        (
            PixelChoices(image_scale=0.5, red_bias=-1.0),
            Pixels("RGB", (2.0, 0.0, 0.0), (2.0,) * 3),
        ),
    )
    def test_what_the_user_says(self, choices, expected):
        self.assertEqual(chosen(choices, _source()), expected)

    def test_grey(self):
        self.assertEqual(
            chosen(PixelChoices(image_scale=0.5, gray_bias=-1.0), _source(1)),
            Pixels("GRAYSCALE", (2.0,), (2.0,)),
        )

    @parameterized.parameters(
        ("--input_mean and --input_std", PixelChoices(), 3),
        ("the one or the other", PixelChoices(mean=(1.0,), image_scale=1.0), 3),
        ("--image_scale=0", PixelChoices(image_scale=0.0), 3),
        ("--input_std=0", PixelChoices(std=(0.0,)), 3),
        ("--input_mean must be one number, or 3", PixelChoices(mean=(1.0, 2.0)), 3),
        ("--is_bgr", PixelChoices(is_bgr=True, std=(1.0,)), 1),
        ("--gray_bias is for", PixelChoices(gray_bias=1.0), 3),
        ("give --gray_bias", PixelChoices(red_bias=1.0), 1),
    )
    def test_refused(self, expected, choices, channels):
        with self.assertRaisesRegex(UserError, expected):
            chosen(choices, _source(channels))


if __name__ == "__main__":
    absltest.main()
