"""The replaced gradients of convolutions are those that TensorFlow computes itself."""

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from retrain.fine_tuning.gradients import fast_gradients


def _gradients(function, shapes, *, dtype=tf.float32, fast: bool) -> tuple[list, list[str]]:
    """Returns the gradients of all inputs, and the types of the operations that compute them."""
    rng = np.random.default_rng(0)
    values = [tf.constant(rng.normal(size=shape), dtype) for shape in shapes]

    def compute(*tensors):
        graph = tf.compat.v1.get_default_graph()
        if fast:
            with fast_gradients():
                result = function(*tensors)
        else:
            result = function(*tensors)
        # The weights of the sum make the gradient of the result different everywhere.
        weights = tf.reshape(tf.range(tf.size(result)) % 7, tf.shape(result))
        forward = len(graph.get_operations())
        gradients = tf.gradients(tf.reduce_sum(result * tf.cast(weights, dtype)), tensors)
        types.extend(operation.type for operation in graph.get_operations()[forward:])
        return gradients

    types: list[str] = []
    return [g.numpy() for g in tf.function(compute, autograph=False)(*values)], types


class FastGradientsTest(parameterized.TestCase):
    def check(self, function, *shapes, dtype=tf.float32) -> list[str]:
        """Compares the gradients, and returns the types of operations that compute them."""
        expected, _ = _gradients(function, shapes, fast=False)
        found, types = _gradients(function, shapes, dtype=dtype, fast=True)
        for one, other in zip(found, expected, strict=True):
            self.assertEqual(one.shape, other.shape)
            tolerance = 1e-4 if dtype == tf.float32 else 0.02
            difference = np.abs(one.astype(np.float32) - other).max()
            self.assertLess(difference, tolerance * np.abs(other).max())
        return types

    @parameterized.product(
        kernel=(1, 3),
        stride=(1, 2),
        padding=("SAME", "VALID"),
        dtype=(tf.float32, tf.bfloat16),
    )
    def test_convolutions(self, kernel: int, stride: int, padding: str, dtype: tf.DType):
        types = self.check(
            lambda images, weights: tf.nn.conv2d(images, weights, stride, padding),
            (2, 8, 9, 6),
            (kernel, kernel, 6, 5),
            dtype=dtype,
        )
        self.assertEqual("MatMul" in types, kernel == stride == 1)
        self.assertEqual("Conv2DBackpropFilter" in types, not kernel == stride == 1)

    def test_convolutions_of_groups_of_channels(self):
        self.check(
            lambda images, weights: tf.nn.conv2d(images, weights, 1, "SAME"),
            (2, 8, 9, 6),
            (1, 1, 3, 4),
        )

    def test_explicit_padding_and_dilation(self):
        paddings = [[0, 0], [1, 2], [0, 1], [0, 0]]
        for padding, dilation in ((paddings, 1), ("VALID", 2)):
            self.check(
                lambda images, weights, padding=padding, dilation=dilation: tf.nn.conv2d(
                    images, weights, 1, padding, dilations=dilation
                ),
                (2, 8, 9, 6),
                (3, 3, 6, 5),
            )

    @parameterized.product(
        kernel=(3, 5, 7),
        stride=(1, 2),
        padding=("SAME", "VALID"),
        dtype=(tf.float32, tf.bfloat16),
    )
    def test_depthwise_convolutions(self, kernel: int, stride: int, padding: str, dtype: tf.DType):
        types = self.check(
            lambda images, weights: tf.nn.depthwise_conv2d(
                images, weights, [1, stride, stride, 1], padding
            ),
            (2, 10, 10, 4),
            (kernel, kernel, 4, 1),
            dtype=dtype,
        )
        in_parts = kernel == 5 and dtype == tf.bfloat16
        self.assertEqual(
            types.count("DepthwiseConv2dNativeBackpropFilter"), 4 if in_parts else 1, types
        )

    def test_depthwise_convolutions_with_several_filters_per_channel(self):
        self.check(
            lambda images, weights: tf.nn.depthwise_conv2d(images, weights, [1, 1, 1, 1], "SAME"),
            (2, 9, 9, 4),
            (5, 5, 4, 2),
            dtype=tf.bfloat16,
        )

    @parameterized.parameters(tf.float32, tf.bfloat16)
    def test_biases(self, dtype: tf.DType):
        self.check(tf.nn.bias_add, (2, 5, 6, 4), (4,), dtype=dtype)
        self.check(tf.nn.bias_add, (7, 4), (4,), dtype=dtype)

    def test_after_the_block_gradients_are_those_of_tensorflow(self):
        def compute(images, weights):
            with fast_gradients():
                pass
            return tf.nn.conv2d(images, weights, 1, "SAME")

        _, types = _gradients(compute, [(2, 8, 8, 6), (1, 1, 6, 5)], fast=False)
        self.assertIn("Conv2DBackpropFilter", types)


if __name__ == "__main__":
    absltest.main()
