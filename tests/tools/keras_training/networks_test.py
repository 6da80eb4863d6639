"""The small networks are those of their authors, and take what they say they take."""

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from tools.keras_training import networks


class NetworksTest(parameterized.TestCase):
    @parameterized.parameters(("cnn_malireddi", 94_602), ("cnn_chollet", 1_199_882))
    def test_number_of_parameters(self, name: str, parameters: int):
        model = networks.build(name, 28, 28, 1, 10, None)
        self.assertEqual(model.count_params(), parameters)
        self.assertEqual(model.output_shape, (None, 10))

    @parameterized.parameters(*networks.NETWORKS)
    def test_smallest_side(self, name: str):
        side = networks.NETWORKS[name].smallest_side
        networks.check_size(name, side, side)
        networks.build(name, side, side, 3, 2, None)
        with self.assertRaises(ValueError):
            networks.build(name, side - 1, side, 3, 2, None)
        with self.assertRaisesRegex(UserError, f"--height={side - 1}"):
            networks.check_size(name, side - 1, side)

    @parameterized.parameters(
        ("cnn_malireddi", None, [0.5, 0.2, 0.2]),
        ("cnn_malireddi", 0.1, [0.1, 0.1, 0.1]),
        ("cnn_chollet", None, [0.25, 0.5]),
        ("cnn_chollet", 0.0, [0.0, 0.0]),
    )
    def test_dropout(self, name: str, dropout: float | None, rates: list[float]):
        model = networks.build(name, 28, 28, 1, 10, dropout)
        self.assertEqual([layer.rate for layer in model.layers if hasattr(layer, "rate")], rates)


if __name__ == "__main__":
    absltest.main()
