"""Files that hold another network than the one that they were made from are not kept."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import feature_parity, freeze
from retrain.errors import UserError
from tests.support import tiny_backbone

_SIZE = (tiny_backbone.SIDE, tiny_backbone.SIDE)


def _files(network, channel_order="RGB"):
    graph = freeze.to_graph(network, tiny_backbone.MEAN, tiny_backbone.STD, channel_order)
    return graph.SerializeToString(deterministic=True), freeze.to_tflite(network)


def _changed(change):
    """Returns the network with other weights in its last layer that has some."""
    network = tiny_backbone.network()
    *others, kernel, bias = network.get_weights()
    network.set_weights([*others, change(kernel), bias])
    return network


class SameFeaturesTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.network = tiny_backbone.network()
        cls.graph, cls.flatbuffer = _files(cls.network)
        cls.other_graph, cls.other_flatbuffer = _files(_changed(lambda kernel: 1.01 * kernel))

    def check(self, graph, flatbuffer, network=None, **name):
        network = network or self.network
        feature_parity.check(
            lambda pixels: network(pixels, training=False), _SIZE, graph, flatbuffer, **name
        )

    def test_the_files_of_the_network_pass(self):
        self.check(self.graph, self.flatbuffer)
        self.check(self.graph, None)

    def test_those_of_one_for_bgr_pass(self):
        self.check(*_files(self.network, "BGR"))

    def test_those_of_one_that_is_nearly_the_same_do_not(self):
        with self.assertRaisesRegex(feature_parity.ConversionError, "the graph computes other"):
            self.check(self.other_graph, self.flatbuffer)
        with self.assertRaisesRegex(feature_parity.ConversionError, "the TFLite file computes"):
            self.check(self.graph, self.other_flatbuffer)

    def test_fewer_features_do_not_pass(self):
        import tensorflow as tf

        cut = tf.keras.Sequential([self.network, tf.keras.layers.Lambda(lambda x: x[:, :1])])
        cut.build((None, *_SIZE, 3))
        graph, _ = _files(cut)
        with self.assertRaises(feature_parity.ConversionError):
            self.check(graph, None)

    @parameterized.parameters(np.nan, np.inf)
    def test_a_network_whose_features_are_no_numbers_is_the_users_to_replace(self, value):
        damaged = _changed(lambda kernel: np.full_like(kernel, value))
        with self.assertRaisesRegex(UserError, "^--some_flag=x gives features that are not finite"):
            self.check(*_files(damaged), damaged, name="--some_flag=x")


if __name__ == "__main__":
    absltest.main()
