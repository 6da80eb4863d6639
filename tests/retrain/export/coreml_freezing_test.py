"""Tests that functions are frozen in the form that coremltools can convert."""

import numpy as np
from absl.testing import absltest

from retrain.export import coreml_freezing

_SHAPE = (1, 3)


class FreezeTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        import tensorflow as tf

        self.tf = tf
        self.value = tf.constant([[1.0, 2.0, 3.0]])

    def freeze(self, function):
        return coreml_freezing.freeze(function, _SHAPE, input_name="photo", output_name="chances")

    def test_variables_become_constants(self):
        factor = self.tf.Variable(2.0)
        frozen = self.freeze(lambda x: x * factor)
        factor.assign(100.0)
        self.assertEmpty(frozen.variables)
        np.testing.assert_array_equal(frozen(self.value), [[2, 4, 6]])

    def test_input_and_output_are_named(self):
        frozen = self.freeze(lambda x: x + 1)
        self.assertEqual([t.name for t in frozen.inputs], ["photo:0"])
        self.assertEqual([t.name for t in frozen.outputs], ["chances:0"])
        self.assertEqual(frozen.inputs[0].shape, _SHAPE)

    def test_called_functions_are_inlined(self):
        inner = self.tf.function(lambda x: x * 3, jit_compile=True, autograph=False)
        frozen = self.freeze(lambda x: inner(x) - 1)
        graph = frozen.graph.as_graph_def()
        self.assertEmpty(graph.library.function)
        self.assertNoCommonElements(
            {node.op for node in graph.node}, {"PartitionedCall", "StatefulPartitionedCall"}
        )
        np.testing.assert_array_equal(frozen(self.value), [[2, 5, 8]])


if __name__ == "__main__":
    absltest.main()
