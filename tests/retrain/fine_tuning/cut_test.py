"""A network that is cut below its trained layers computes the same as the whole."""

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from retrain.fine_tuning import cut, layers
from retrain.training_options import ALL_LAYERS, AUTO
from tests.support import tiny_backbone

_keras = tf.keras


def _with_branches() -> tf.keras.Model:
    """Returns a network of 64 x 64 pixels, with residual connections and features of two stages."""
    _keras.utils.set_random_seed(0)
    inputs = _keras.Input((64, 64, 3))

    def convolve(x, channels: int, strides: int, name: str):
        return _keras.layers.Conv2D(channels, 3, strides, "same", name=name)(x)

    x = convolve(inputs, 8, 4, "stem")
    x = _keras.layers.Add(name="add")([x, convolve(x, 8, 1, "branch")])
    x = convolve(x, 12, 4, "wide")
    x = convolve(x, 6, 1, "narrow")
    x = small = _keras.layers.Add(name="add_small")([x, convolve(x, 6, 1, "branch_small")])
    x = convolve(x, 4, 2, "smallest")
    pool = _keras.layers.GlobalAveragePooling2D
    return _keras.Model(inputs, _keras.layers.Concatenate()([pool()(x), pool()(small)]))


class CutTest(parameterized.TestCase):
    def check(self, network, count: int | str) -> cut.CutNetwork:
        layers.unfreeze(network, "network", count)
        parts = cut.cut_below_training(network)
        pixels = np.random.default_rng(0).normal(size=(2, *network.input_shape[1:]))
        pixels = pixels.astype(np.float32)
        values = pixels if parts.bottom is None else parts.bottom(pixels)
        np.testing.assert_allclose(parts.top(values), network(pixels), rtol=1e-5, atol=1e-6)
        names = [weight.path for weight in network.trainable_weights]
        self.assertEqual([weight.path for weight in parts.top.trainable_weights], names)
        if parts.bottom is not None:
            self.assertEmpty(parts.bottom.trainable_weights)
        return parts

    @parameterized.parameters(
        (1, "add_small"), (2, "narrow"), (3, "wide"), (4, "add"), (5, "stem"), (6, None)
    )
    def test_the_bottom_ends_where_one_tensor_has_everything(self, count: int, last: str | None):
        network = _with_branches()
        parts = self.check(network, count)
        if last is None:
            self.assertIsNone(parts.bottom)
            self.assertIs(parts.top, network)
        else:
            assert parts.bottom is not None
            self.assertEqual(parts.bottom.layers[-1].name, last)

    def test_the_parts_have_the_weights_of_the_network(self):
        network = _with_branches()
        parts = self.check(network, 1)
        for layer in network.layers:
            layer.set_weights([np.ones_like(weight) for weight in layer.get_weights()])
        pixels = np.ones((1, 64, 64, 3), np.float32)
        np.testing.assert_allclose(parts.top(parts.bottom(pixels)), network(pixels), rtol=1e-5)

    @parameterized.parameters(1, 2, 3, ALL_LAYERS)
    def test_sequential_models(self, count: int):
        parts = self.check(tiny_backbone.build_network(), count)
        self.assertEqual(parts.bottom is None, count in (3, ALL_LAYERS))

    def test_networks_that_contain_networks_are_not_cut(self):
        inputs = _keras.Input((64, 64, 3))
        x = _keras.layers.Conv2D(3, 1)(inputs)
        network = _keras.Model(inputs, _keras.layers.Dense(2)(_with_branches()(x)))
        self.assertIsNone(self.check(network, 1).bottom)

    def test_layers_that_are_used_twice_are_not_cut(self):
        inputs = _keras.Input((64, 64, 3))
        convolution = _keras.layers.Conv2D(3, 1)
        x = convolution(convolution(inputs))
        network = _keras.Model(inputs, _keras.layers.Conv2D(2, 1)(x))
        self.assertIsNone(self.check(network, 1).bottom)

    def test_automatic_layers_begin_at_the_smallest_result_a_sixteenth_as_high(self):
        network = _with_branches()
        parts = self.check(network, AUTO)
        self.assertEqual(parts.bottom.layers[-1].name, "narrow")
        trained = [layer.name for layer in network.layers if layer.trainable_weights]
        self.assertEqual(trained, ["branch_small", "smallest"])

    def test_without_such_a_place_all_layers_are_trained(self):
        network = tiny_backbone.build_network()
        self.assertIsNone(self.check(network, AUTO).bottom)


if __name__ == "__main__":
    absltest.main()
