"""Tests quantisation, and that LiteRT runs networks in several threads."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.runtimes import tflite_packing
from retrain.runtimes.litert import LiteRTModel, LiteRTRuntime, Tensor
from retrain.runtimes.preprocessing import Preprocessing
from retrain.runtimes.runtime import ModelError
from retrain.system.threads import parallel_map
from tests.support import tflite_models

_SHAPE = (1, 2, 3, 3)


class TensorTest(parameterized.TestCase):
    def test_float32_values_stay_as_they_are(self):
        tensor = Tensor((1, 2), np.dtype(np.float32))
        values = np.array([[-0.3, 7.25]], np.float32)
        np.testing.assert_array_equal(tensor.quantise(values), values)
        np.testing.assert_array_equal(tensor.dequantise(values), values)

    @parameterized.parameters((np.int8, -3, [-128, -5, -3, 127]), (np.uint8, 3, [0, 1, 3, 255]))
    def test_values_are_rounded_and_clipped(self, dtype, zero_point, expected):
        tensor = Tensor((4,), np.dtype(dtype), 0.5, zero_point)
        numbers = tensor.quantise(np.array([-1000, -1.1, 0.2, 1000], np.float32))
        self.assertEqual(numbers.dtype, dtype)
        np.testing.assert_array_equal(numbers, expected)

    def test_dequantised_numbers_are_scaled_differences_from_the_zero_point(self):
        tensor = Tensor((3,), np.dtype(np.int8), 0.5, -3)
        values = tensor.dequantise(np.array([-128, -3, 127], np.int8))
        self.assertEqual(values.dtype, np.float32)
        np.testing.assert_array_equal(values, [-62.5, 0, 65])

    def test_numbers_without_a_scale_are_the_values(self):
        tensor = Tensor((2,), np.dtype(np.uint8))
        np.testing.assert_array_equal(tensor.quantise(np.float32([0, 200])), [0, 200])
        np.testing.assert_array_equal(tensor.dequantise(np.uint8([0, 200])), [0, 200])


class LiteRTModelTest(absltest.TestCase):
    def test_tensors_are_described(self):
        model = LiteRTModel(tflite_models.identity(_SHAPE, "int8", scale=0.25, zero_point=7))
        self.assertEqual(model.input, Tensor(_SHAPE, np.dtype(np.int8), 0.25, 7))
        self.assertEqual(model.output, model.input)

    def test_other_content_is_an_error_of_one_line(self):
        for content in (b"", b"no model", b"\0\0\0\0TFL3" + bytes(50)):
            with self.assertRaises(ModelError) as caught:
                LiteRTModel(content)
            self.assertRegex(str(caught.exception), r"\A.+\Z")

    def test_an_input_of_another_shape_is_an_error(self):
        model = LiteRTModel(tflite_models.identity(_SHAPE))
        with self.assertRaises(ModelError):
            model.run(np.zeros((1, 5, 5, 3), np.float32))
        value = np.ones(_SHAPE, np.float32)
        np.testing.assert_array_equal(model.run(value), value)

    def test_threads_do_not_share_their_values(self):
        model = LiteRTModel(tflite_models.identity(_SHAPE))
        values = [np.full(_SHAPE, number, np.float32) for number in range(200)]
        for value, output in zip(values, parallel_map(model.run, values, 4), strict=True):
            np.testing.assert_array_equal(output, value)

    def test_several_outputs_are_computed_in_one_run(self):
        parsed = tflite_packing.parse(tflite_models.identity(_SHAPE))
        (graph,) = parsed.subgraphs
        graph.outputs = [graph.outputs[0], graph.inputs[0]]
        parsed.signatureDefs = None
        model = LiteRTModel(tflite_packing.pack(parsed), output_count=2)
        value = np.ones(_SHAPE, np.float32)
        first, second = model.run_all(value)
        np.testing.assert_array_equal(first, model.run(value))
        np.testing.assert_array_equal(second, value)
        with self.assertRaisesRegex(ModelError, "2 outputs instead of one of each"):
            LiteRTModel(model.flatbuffer)

    def test_names_that_are_not_text_are_refused(self):
        parsed = tflite_packing.parse(tflite_models.identity(_SHAPE))
        for tensor in parsed.subgraphs[0].tensors:
            tensor.name = b"\xff"
        with self.assertRaisesRegex(ModelError, "can't decode"):
            LiteRTModel(tflite_packing.pack(parsed))


class LiteRTRuntimeTest(absltest.TestCase):
    def test_pixels_are_normalised_in_the_networks_channel_order(self):
        preprocessing = Preprocessing((1.0, 2.0, 3.0), (1.0, 10.0, 100.0), "BGR")
        runtime = LiteRTRuntime(LiteRTModel(tflite_models.identity(_SHAPE)), preprocessing)
        pixels = np.random.default_rng(0).integers(0, 256, (5, *_SHAPE[1:]), np.uint8)
        expected = (pixels[..., ::-1].astype(np.float32) - [1, 2, 3]) / [1, 10, 100]
        np.testing.assert_allclose(runtime.run(pixels), expected.reshape(5, -1), rtol=1e-6)

    def test_quantised_networks_take_normalised_pixels(self):
        model = LiteRTModel(tflite_models.identity(_SHAPE, "int8", scale=1 / 128, zero_point=0))
        preprocessing = Preprocessing((128.0,) * 3, (128.0,) * 3)
        pixels = np.random.default_rng(0).integers(0, 256, (5, *_SHAPE[1:]), np.uint8)
        values = LiteRTRuntime(model, preprocessing).run(pixels)
        expected = (pixels.astype(np.float32) - 128) / 128
        np.testing.assert_allclose(values, expected.reshape(5, -1), atol=1e-6)

    def test_encoded_files_are_refused(self):
        runtime = LiteRTRuntime(LiteRTModel(tflite_models.identity(_SHAPE)), Preprocessing())
        self.assertEqual((runtime.takes_pixels, runtime.takes_files), (True, False))
        with self.assertRaisesRegex(ModelError, "pixels, not files"):
            runtime.run_file(b"")


if __name__ == "__main__":
    absltest.main()
