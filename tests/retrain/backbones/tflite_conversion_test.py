"""TFLite files compute what the network computes, and have the documented names."""

import numpy as np
from absl.testing import absltest

from retrain.backbones import freeze, tflite_conversion
from retrain.runtimes.litert import LiteRTModel
from tests.support import tiny_backbone
from tests.support.tiny_backbone import SIDE, WIDTH


class TFLiteConversionTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(0)
        self.pixels = rng.uniform(-1, 1, (1, SIDE, SIDE, 3)).astype(np.float32)

    def test_a_keras_model_keeps_its_weights(self):
        model = tiny_backbone.build_network()
        tflite = LiteRTModel(tflite_conversion.convert_keras(model))
        self.assertEqual(tflite.input.shape, (1, SIDE, SIDE, 3))
        self.assertEqual(tflite.output.shape, (1, WIDTH))
        expected = model(self.pixels).numpy()
        self.assertGreater(np.abs(expected).max(), 0.01)
        np.testing.assert_allclose(tflite.run(self.pixels), expected, atol=1e-5)

    def test_the_signature_and_the_input_have_their_names(self):
        from ai_edge_litert.interpreter import Interpreter

        content = tflite_conversion.convert_keras(tiny_backbone.build_network())
        signatures = Interpreter(model_content=content).get_signature_list()
        self.assertEqual(
            signatures,
            {tflite_conversion.SIGNATURE: {"inputs": ["pixels"], "outputs": ["features"]}},
        )
        self.assertEqual(tflite_conversion.INPUT, "pixels")

    def test_a_network_with_a_custom_gradient_is_converted(self):
        import tensorflow as tf

        function = freeze.freeze_function(
            lambda x: tf.reduce_mean(tf.keras.activations.silu(x), [1, 2]), self.pixels.shape
        )
        actual = LiteRTModel(tflite_conversion.convert(function)).run(self.pixels)
        silu = self.pixels / (1 + np.exp(-self.pixels))
        np.testing.assert_allclose(actual, silu.mean((1, 2)), atol=1e-5)

    def test_an_unsupported_operation_results_in_none(self):
        import tensorflow as tf

        def converted(network):
            function = freeze.freeze_function(network, self.pixels.shape)
            return tflite_conversion.convert_if_supported(function)

        self.assertIsNone(converted(lambda x: tf.raw_ops.Digamma(x=tf.reduce_mean(x, [1, 2]))))
        self.assertIsNotNone(converted(lambda x: tf.reduce_mean(x, [1, 2])))


if __name__ == "__main__":
    absltest.main()
