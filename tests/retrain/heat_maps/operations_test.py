"""The operations of frozen graphs, and of TFLite files of the same functions, are understood."""

from collections.abc import Callable
from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import freeze, tflite_conversion
from retrain.heat_maps import pooled_layers
from retrain.heat_maps.graph_operations import GraphOperations
from retrain.heat_maps.pooled_layers import NoHeatMapError, PooledLayers
from retrain.heat_maps.tflite_operations import TFLiteOperations
from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.litert import LiteRTModel
from retrain.runtimes.tflite_outputs import replace_outputs

_RNG = np.random.default_rng(0)
_SHAPE = (1, 6, 6, 4)
_INPUT = _RNG.normal(size=_SHAPE).astype(np.float32)
_WEIGHTS = _RNG.normal(size=(4, 3)).astype(np.float32)
_CHANNELS = _RNG.uniform(1, 2, 4).astype(np.float32)
_BIAS = _RNG.normal(size=3).astype(np.float32)


def _means(x: Any) -> Any:
    import tensorflow as tf

    return tf.reduce_mean(x, [1, 2])


def _pooled(x: Any) -> Any:
    import tensorflow as tf

    return tf.nn.avg_pool2d(x, 6, 1, "VALID")


def _convolution(x: Any) -> Any:
    import tensorflow as tf

    return tf.squeeze(tf.nn.conv2d(_pooled(x), _WEIGHTS[None, None], 1, "SAME"), [1, 2])


def _concatenated(x: Any) -> Any:
    import tensorflow as tf

    return tf.concat([_means(x), 2 * _means(tf.nn.relu(x))], 1) @ np.concatenate([_WEIGHTS] * 2)


def _transposed(x: Any) -> Any:
    import tensorflow as tf

    return tf.matmul(_means(x), _WEIGHTS.T, transpose_b=True)


# Functions of an image to logits that have a heat map.
_LINEAR: dict[str, Callable[[Any], Any]] = {
    "a dense layer": lambda x: _means(x) @ _WEIGHTS + _BIAS,
    "a constant first": lambda x: _BIAS + _means(x) @ _WEIGHTS,
    "standardised features": lambda x: ((_means(x) - _CHANNELS) / _CHANNELS) @ _WEIGHTS,
    "a constant minus features": lambda x: (_CHANNELS - _means(x)) @ _WEIGHTS,
    "scaled features": lambda x: (_CHANNELS * _means(x)) @ _WEIGHTS,
    "two layers": _concatenated,
    "a transposed matrix": _transposed,
    "a convolution of pooled features": _convolution,
    "a sum": lambda x: _means(x) @ _WEIGHTS + _means(x) @ (2 * _WEIGHTS),
}


def _refused() -> dict[str, Callable[[Any], Any]]:
    """Returns functions of an image to logits that have no heat map."""
    import tensorflow as tf

    def dense(x: Any) -> Any:
        width = x.shape[1]
        return x @ _RNG.normal(size=(width, 3)).astype(np.float32)

    return {
        "the maximum": lambda x: dense(tf.reduce_max(x, [1, 2])),
        "a mean over other axes": lambda x: dense(tf.reduce_mean(x, [2, 3])),
        "an activation after the mean": lambda x: dense(tf.nn.relu(_means(x))),
        "a product of features": lambda x: dense(_means(x) * _means(x)),
        "a part of the image": lambda x: dense(
            tf.reshape(tf.nn.avg_pool2d(x, 3, 3, "VALID"), (-1, 16))
        ),
        "all places": lambda x: dense(tf.reshape(tf.nn.relu(x), (-1, 144))),
    }


def _in_graph(function: Callable[[Any], Any]) -> tuple[PooledLayers, list[np.ndarray], np.ndarray]:
    """Returns the layers, their outputs, and the logits of a function as a frozen graph."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, _SHAPE, "input")
        tf.nn.softmax(tf.identity(function(x), "logits"), name="scores")
    with GraphSession(graph.as_graph_def()) as session:
        operations = GraphOperations(session.graph_def(), session)
        logits = pooled_layers.find_logits(operations.describe, "scores")
        found = pooled_layers.find(operations.describe, logits, classes=operations.width(logits))
        names = [str(layer.tensor) for layer in found.layers]
        *outputs, expected = session.run_all([*names, "logits"], {"input": _INPUT})
    return found, outputs, expected


def _in_tflite(function: Callable[[Any], Any]) -> tuple[PooledLayers, list[np.ndarray], np.ndarray]:
    """Returns the same for a TFLite file, in which the logits are the output."""
    flatbuffer = tflite_conversion.convert(freeze.freeze_function(function, _SHAPE))
    operations = TFLiteOperations(flatbuffer)
    logits = pooled_layers.find_logits(operations.describe, operations.output)
    found = pooled_layers.find(operations.describe, logits, classes=operations.width(logits))
    tensors = [int(layer.tensor) for layer in found.layers]
    model = LiteRTModel(replace_outputs(flatbuffer, tensors), output_count=len(tensors))
    return found, model.run_all(_INPUT), LiteRTModel(flatbuffer).run(_INPUT)


class OperationsTest(parameterized.TestCase):
    @parameterized.product(name=tuple(_LINEAR), read=(_in_graph, _in_tflite))
    def test_the_layers_determine_the_logits(self, name: str, read: Callable):
        found, outputs, expected = read(_LINEAR[name])
        logits = found.bias + sum(
            output.mean((1, 2)) @ layer.weights
            for layer, output in zip(found.layers, outputs, strict=True)
        )
        np.testing.assert_allclose(logits, expected, atol=1e-5)

    @parameterized.parameters(_in_graph, _in_tflite)
    def test_everything_else_is_refused(self, read: Callable):
        for name, function in _refused().items():
            with self.subTest(name), self.assertRaisesRegex(NoHeatMapError, "comes before"):
                read(function)


if __name__ == "__main__":
    absltest.main()
