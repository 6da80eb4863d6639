"""The small networks have the published architectures, and refuse images that are too small."""

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from tools.keras_training import small_networks
from tools.keras_training.image_shape import ImageShape
from tools.keras_training.small_networks import SMALL_NETWORKS

_MNIST = ImageShape(28, 28, 1)


class SmallNetworksTest(parameterized.TestCase):
    @parameterized.parameters(("cnn_malireddi", 94_602), ("cnn_chollet", 1_199_882))
    def test_number_of_parameters(self, name: str, parameters: int):
        model = small_networks.build(name, _MNIST, 10)
        self.assertEqual(model.count_params(), parameters)
        self.assertEqual(model.output_shape, (None, 10))

    @parameterized.parameters(*SMALL_NETWORKS)
    def test_smallest_images(self, name: str):
        side = SMALL_NETWORKS[name].min_side
        small_networks.check_size(name, side, side)
        small_networks.build(name, ImageShape(side, side, 3), 2)
        with self.assertRaises(ValueError):
            small_networks.build(name, ImageShape(side - 1, side, 3), 2)
        with self.assertRaisesRegex(UserError, f"--height={side - 1}"):
            small_networks.check_size(name, side - 1, side)

    @parameterized.parameters(
        ("cnn_malireddi", None, [0.5, 0.2, 0.2]),
        ("cnn_malireddi", 0.1, [0.1, 0.1, 0.1]),
        ("cnn_chollet", None, [0.25, 0.5]),
        ("cnn_chollet", 0.0, [0.0, 0.0]),
    )
    def test_dropout_rates(self, name: str, dropout: float | None, rates: list[float]):
        model = small_networks.build(name, _MNIST, 10, dropout=dropout)
        self.assertEqual([layer.rate for layer in model.layers if hasattr(layer, "rate")], rates)


if __name__ == "__main__":
    absltest.main()
