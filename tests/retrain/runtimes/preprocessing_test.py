"""Tests that pixels become the numbers that a network expects."""

import numpy as np
from absl.testing import absltest

from retrain.runtimes.preprocessing import Preprocessing, normalise
from tests.support import sample_classifier


class NormaliseTest(absltest.TestCase):
    def test_mean_and_std_can_be_numbers(self):
        result = normalise(np.array([[0, 127, 255]], np.uint8), 127, 128)
        self.assertEqual(result.dtype, np.float32)
        np.testing.assert_array_equal(result, np.array([[-127 / 128, 0, 1]], np.float32))

    def test_mean_and_std_can_differ_for_each_channel(self):
        image = np.full((2, 4, 4, 3), 100, np.uint8)
        result = normalise(image, [100, 50, 0], [1, 50, 10])
        self.assertEqual(result.shape, image.shape)
        np.testing.assert_array_equal(result[1, 3, 2], [0, 1, 10])

    def test_equals_the_formula_bit_for_bit(self):
        image = np.arange(3 * 256, dtype=np.int64).reshape(1, 256, 3).astype(np.uint8)
        for mean, std in (([123.68, 116.779, 103.939], [58.393, 57.12, 57.375]), (127.5, 127.5)):
            expected = (image.astype(np.float32) - np.float32(mean)) / np.float32(std)
            np.testing.assert_array_equal(normalise(image, mean, std), expected)

    def test_does_not_change_its_input(self):
        image = np.full((2, 2, 3), 9, np.uint8)
        normalise(image, 1, 1)
        np.testing.assert_array_equal(image, np.full((2, 2, 3), 9))


class PreprocessingTest(absltest.TestCase):
    def test_the_default_maps_pixels_to_0_to_1(self):
        values = Preprocessing().apply(np.array([[0, 51, 255]], np.uint8))
        np.testing.assert_allclose(values, [[0, 0.2, 1]], rtol=1e-6)

    def test_mean_and_std_are_those_of_the_networks_channels(self):
        preprocessing = Preprocessing((1.0, 2.0, 3.0), (10.0, 100.0, 1000.0), "BGR")
        values = preprocessing.apply(np.array([[103, 102, 101]], np.uint8))
        np.testing.assert_allclose(values, [[10, 1, 0.1]], rtol=1e-6)

    def test_levels_can_have_another_number_format(self):
        preprocessing = Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "BGR")
        levels = (preprocessing.levels() - 128).astype(np.int8)
        values = preprocessing.apply(np.array([[0, 128, 255]], np.uint8), levels=levels)
        self.assertEqual(values.dtype, np.int8)
        np.testing.assert_array_equal(values, [[127, 0, -128]])

    def test_overrides_apply_to_all_channels(self):
        preprocessing = Preprocessing((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "BGR")
        self.assertEqual(preprocessing.override(None, None), preprocessing)
        self.assertEqual(
            preprocessing.override(0.0, None), Preprocessing((0.0,) * 3, (4.0, 5.0, 6.0), "BGR")
        )
        self.assertEqual(
            preprocessing.override(None, 9.0), Preprocessing((1.0, 2.0, 3.0), (9.0,) * 3, "BGR")
        )

    def test_metadata_describe_the_preprocessing(self):
        metadata = sample_classifier.classifier(
            mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0), channel_order="BGR"
        ).metadata
        self.assertEqual(
            Preprocessing.of(metadata), Preprocessing((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "BGR")
        )


if __name__ == "__main__":
    absltest.main()
