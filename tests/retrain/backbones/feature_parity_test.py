"""Files that compute different features from those of the original network are rejected."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import feature_parity, freeze, tflite_conversion
from retrain.errors import UserError
from tests.support import tiny_backbone

_SIZE = (tiny_backbone.SIDE, tiny_backbone.SIDE)


def _convert(model, channel_order="RGB"):
    """Returns the graph and the TFLite file of a model."""
    graph = freeze.to_graph(
        model, tiny_backbone.MEAN, tiny_backbone.STD, channel_order=channel_order
    )
    return graph.SerializeToString(deterministic=True), tflite_conversion.convert_keras(model)


def _with_last_kernel(change):
    """Returns the network with a different kernel in its last convolution."""
    model = tiny_backbone.build_network()
    *others, kernel, bias = model.get_weights()
    model.set_weights([*others, change(kernel), bias])
    return model


class FeatureParityTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = tiny_backbone.build_network()
        cls.graph, cls.tflite = _convert(cls.model)
        similar = _with_last_kernel(lambda kernel: 1.01 * kernel)
        cls.similar_graph, cls.similar_tflite = _convert(similar)

    def check(self, graph, tflite, model=None, **name):
        model = model or self.model
        feature_parity.check(
            lambda pixels: model(pixels, training=False), _SIZE, graph=graph, tflite=tflite, **name
        )

    def test_files_of_the_network_are_accepted(self):
        self.check(self.graph, self.tflite)
        self.check(self.graph, None)

    def test_files_of_a_bgr_network_are_accepted(self):
        self.check(*_convert(self.model, "BGR"))

    def test_files_of_a_similar_network_are_rejected(self):
        with self.assertRaisesRegex(feature_parity.ConversionError, "the graph computes different"):
            self.check(self.similar_graph, self.tflite)
        with self.assertRaisesRegex(feature_parity.ConversionError, "the TFLite file computes"):
            self.check(self.graph, self.similar_tflite)

    def test_files_with_fewer_features_are_rejected(self):
        import tensorflow as tf

        model = tf.keras.Sequential([self.model, tf.keras.layers.Lambda(lambda x: x[:, :1])])
        model.build((None, *_SIZE, 3))
        graph, _ = _convert(model)
        with self.assertRaises(feature_parity.ConversionError):
            self.check(graph, None)

    @parameterized.parameters(np.nan, np.inf)
    def test_features_that_are_not_finite_are_a_user_error(self, value):
        damaged = _with_last_kernel(lambda kernel: np.full_like(kernel, value))
        with self.assertRaisesRegex(UserError, "^--some_flag=x computes features that are not"):
            self.check(*_convert(damaged), damaged, name="--some_flag=x")


if __name__ == "__main__":
    absltest.main()
