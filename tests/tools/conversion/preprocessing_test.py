"""The normalisation is taken from the user's options, or from the file."""

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from tests.support import sample_classifier
from tools.conversion.preprocessing import InputFormat, PreprocessingOptions, resolve

_KNOWN = InputFormat("RGB", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))
_KNOWN_BGR = InputFormat("BGR", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))


class InputFormatTest(absltest.TestCase):
    def test_an_unnormalised_input_has_mean_0_and_std_1(self):
        self.assertEqual(
            InputFormat.unnormalised(3), InputFormat("RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        )
        self.assertEqual(InputFormat.unnormalised(1), InputFormat("GRAYSCALE", (0.0,), (1.0,)))

    def test_metadata_describe_the_format(self):
        metadata = sample_classifier.classifier().metadata
        self.assertEqual(InputFormat.of(metadata), InputFormat("RGB", metadata.mean, metadata.std))


class ResolveTest(parameterized.TestCase):
    def test_without_options_the_format_of_the_file_is_used(self):
        for known in (_KNOWN, _KNOWN_BGR):
            self.assertEqual(resolve(PreprocessingOptions(), 3, known), known)

    @parameterized.parameters(
        (PreprocessingOptions(mean=(1.0,), std=(2.0,)), "RGB", _KNOWN),
        (PreprocessingOptions(mean=(1.0,), std=(2.0,)), "BGR", _KNOWN_BGR),
        (PreprocessingOptions(mean=(1.0,), std=(2.0,), is_bgr=False), "RGB", _KNOWN_BGR),
    )
    def test_options_override_the_format_of_the_file(self, options, order, known):
        self.assertEqual(resolve(options, 3, known), InputFormat(order, (1.0,) * 3, (2.0,) * 3))

    def test_the_channel_order_alone_can_be_overridden(self):
        self.assertEqual(
            resolve(PreprocessingOptions(is_bgr=True), 3, _KNOWN),
            InputFormat("BGR", (127.0,) * 3, (128.0,) * 3),
        )

    @parameterized.parameters(
        (PreprocessingOptions(std=(255.0,)), InputFormat("RGB", (0.0,) * 3, (255.0,) * 3)),
        (
            PreprocessingOptions(mean=(1.0, 2.0, 3.0)),
            InputFormat("RGB", (1.0, 2.0, 3.0), (1.0,) * 3),
        ),
        (
            PreprocessingOptions(mean=(1.0,), is_bgr=True),
            InputFormat("BGR", (1.0,) * 3, (1.0,) * 3),
        ),
        (PreprocessingOptions(image_scale=0.5), InputFormat("RGB", (0.0,) * 3, (2.0,) * 3)),
        (
            PreprocessingOptions(red_bias=-3.0, green_bias=-2.0, blue_bias=-1.0),
            InputFormat("RGB", (3.0, 2.0, 1.0), (1.0,) * 3),
        ),
        (
            PreprocessingOptions(is_bgr=True, red_bias=-3.0, green_bias=-2.0, blue_bias=-1.0),
            InputFormat("BGR", (1.0, 2.0, 3.0), (1.0,) * 3),
        ),
        (
            PreprocessingOptions(image_scale=0.5, red_bias=-1.0),
            InputFormat("RGB", (2.0, 0.0, 0.0), (2.0,) * 3),
        ),
    )
    def test_options_describe_the_format(self, options, expected):
        self.assertEqual(resolve(options, 3, None), expected)

    def test_grey_images_have_one_channel(self):
        self.assertEqual(
            resolve(PreprocessingOptions(image_scale=0.5, gray_bias=-1.0), 1, None),
            InputFormat("GRAYSCALE", (2.0,), (2.0,)),
        )

    @parameterized.parameters(
        ("set --input_mean and --input_std", PreprocessingOptions(), 3),
        ("only one of the two", PreprocessingOptions(mean=(1.0,), image_scale=1.0), 3),
        ("--image_scale=0", PreprocessingOptions(image_scale=0.0), 3),
        ("--input_std=0", PreprocessingOptions(std=(0.0,)), 3),
        ("--input_mean must be one number, or 3", PreprocessingOptions(mean=(1.0, 2.0)), 3),
        ("--is_bgr cannot", PreprocessingOptions(is_bgr=True, std=(1.0,)), 1),
        ("--gray_bias cannot", PreprocessingOptions(gray_bias=1.0), 3),
        ("use --gray_bias", PreprocessingOptions(red_bias=1.0), 1),
    )
    def test_contradictions_and_missing_options_are_refused(self, expected, options, channels):
        with self.assertRaisesRegex(UserError, expected):
            resolve(options, channels, None)


if __name__ == "__main__":
    absltest.main()
