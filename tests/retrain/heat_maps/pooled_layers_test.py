"""The layers behind the logits are found, and together compute the logits."""

from collections.abc import Mapping

import numpy as np
from absl.testing import absltest

from retrain.heat_maps import pooled_layers
from retrain.heat_maps.operations import (
    Activation,
    Affine,
    Dense,
    Forward,
    Join,
    Operation,
    Other,
    SpatialMean,
    Sum,
    TensorId,
)
from retrain.heat_maps.pooled_layers import NoHeatMapError
from retrain.runtimes.head import Head

_RNG = np.random.default_rng(0)
_ONE, _ZERO = np.ones(1), np.zeros(1)
# The means over the image of the outputs of two layers.
_MEANS = {"a": _RNG.normal(size=4), "b": _RNG.normal(size=3)}


def _random(*shape: int) -> np.ndarray:
    return _RNG.normal(size=shape).astype(np.float32)


def _logits(operations: Mapping[TensorId, Operation], name: str = "logits") -> np.ndarray:
    """Returns the logits that the layers that were found compute from _MEANS."""
    found = pooled_layers.find(operations.__getitem__, name)
    return sum(_MEANS[str(layer.tensor)] @ layer.weights for layer in found.layers) + found.bias


class FindTest(absltest.TestCase):
    def test_layers_of_several_sizes_are_scaled_and_joined(self):
        factor, offset, weights, bias = _random(3), _random(3), _random(7, 2), _random(2)
        operations = {
            "logits": Affine("product", _ONE, bias),
            "product": Dense("forward", weights, _ZERO),
            "forward": Forward("features"),
            "features": Join(("mean_a", "scaled"), (4, 3)),
            "mean_a": SpatialMean("a"),
            "scaled": Affine("mean_b", factor, offset),
            "mean_b": SpatialMean("b"),
        }
        features = np.concatenate([_MEANS["a"], _MEANS["b"] * factor + offset])
        np.testing.assert_allclose(_logits(operations), features @ weights + bias, atol=1e-5)

    def test_dense_layers_without_activation_are_one_layer(self):
        first, second, bias = _random(4, 5), _random(5, 2), _random(5)
        operations = {
            "logits": Dense("hidden", second, _ZERO),
            "hidden": Dense("mean", first, bias),
            "mean": SpatialMean("a"),
        }
        expected = (_MEANS["a"] @ first + bias) @ second
        np.testing.assert_allclose(_logits(operations), expected, atol=1e-5)

    def test_the_terms_of_a_sum_are_added(self):
        coarse, fine = _random(4, 2), _random(4, 2)
        operations = {
            "logits": Sum(("coarse", "fine")),
            "coarse": Dense("mean", coarse, _ZERO),
            "fine": Dense("mean", fine, _random(2)),
            "mean": SpatialMean("a"),
        }
        bias = operations["fine"].bias
        np.testing.assert_allclose(
            _logits(operations), _MEANS["a"] @ (coarse + fine) + bias, atol=1e-5
        )

    def test_a_layer_can_have_a_channel_for_each_class(self):
        bias = _random(4)
        operations = {"logits": Affine("mean", _ONE * 2, bias), "mean": SpatialMean("a")}
        np.testing.assert_allclose(_logits(operations), 2 * _MEANS["a"] + bias, atol=1e-5)

    def test_a_network_can_end_with_the_mean_itself(self):
        found = pooled_layers.find({"logits": SpatialMean("a")}.__getitem__, "logits", classes=4)
        np.testing.assert_array_equal(found.layers[0].weights, np.eye(4))
        np.testing.assert_array_equal(found.bias, np.zeros(4))

    def test_the_head_of_a_backbone_comes_last(self):
        head = Head(_random(4, 2), _random(2))
        found = pooled_layers.find({"features": SpatialMean("a")}.__getitem__, "features", head)
        np.testing.assert_allclose(found.layers[0].weights, head.weights)
        np.testing.assert_allclose(found.bias, head.bias)

    def test_layers_without_weight_are_left_out(self):
        weights = _random(7, 2)
        weights[4:] = 0
        operations = {
            "logits": Dense("features", weights, _ZERO),
            "features": Join(("mean_a", "mean_b"), (4, 3)),
            "mean_a": SpatialMean("a"),
            "mean_b": SpatialMean("b"),
        }
        found = pooled_layers.find(operations.__getitem__, "logits")
        self.assertEqual([layer.tensor for layer in found.layers], ["a"])

    def test_a_network_that_pools_otherwise_is_refused_in_one_line(self):
        operations = {"logits": Dense("max", _random(4, 2), _ZERO), "max": Other("Max (pool)")}
        with self.assertRaisesRegex(NoHeatMapError, r"^[^\n]*Max \(pool\) comes before[^\n]*$"):
            pooled_layers.find(operations.__getitem__, "logits")

    def test_joins_of_unknown_widths_are_refused(self):
        operations = {
            "logits": Dense("features", _random(9, 2), _ZERO),
            "features": Join(("a", "b"), (4, 3)),
        }
        with self.assertRaisesRegex(NoHeatMapError, "Join comes before"):
            pooled_layers.find(operations.__getitem__, "logits")

    def test_a_hostile_file_cannot_make_the_search_endless(self):
        # There are 2**100 paths from the logits to the layer.
        operations = {str(n): Sum((str(n + 1), str(n + 1))) for n in range(100)}
        operations["100"] = SpatialMean("a")
        with self.assertRaisesRegex(NoHeatMapError, "a sum of more than 1000 terms"):
            pooled_layers.find(operations.__getitem__, "0")


class FindLogitsTest(absltest.TestCase):
    def test_logits_are_before_the_activation(self):
        operations = {
            "output": Forward("rounded"),
            "rounded": Sum(("softmax", "extra")),
            "softmax": Activation("logits"),
        }
        self.assertEqual(pooled_layers.find_logits(operations.__getitem__, "output"), "logits")

    def test_without_activation_the_scores_are_the_logits(self):
        operations = {"output": Dense("features", _random(4, 2), _ZERO)}
        self.assertEqual(pooled_layers.find_logits(operations.__getitem__, "output"), "output")

    def test_a_circle_of_operations_ends(self):
        operations = {"output": Forward("output")}
        self.assertEqual(pooled_layers.find_logits(operations.__getitem__, "output"), "output")


if __name__ == "__main__":
    absltest.main()
