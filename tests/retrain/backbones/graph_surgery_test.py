"""Networks are cut out of frozen graphs of all ages and still compute the same."""

from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import graph_surgery
from retrain.runtimes.graph_def import parse_graph
from retrain.runtimes.graph_session import GraphSession
from tests.support import old_graphs

_LEGACY_OPERATIONS = {"BatchNormWithGlobalNormalization", "Concat", "CheckNumerics"}


def _graph(build) -> Any:
    """Returns the GraphDef of what a function adds to a new graph."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        build(tf)
    return graph.as_graph_def()


def _diamond(tf):
    """Adds a -> (b, c) -> d, with another input e of c."""
    v1 = tf.compat.v1
    a, e = v1.placeholder(tf.float32, (None, 2), "a"), v1.placeholder(tf.float32, (), "e")
    b = tf.identity(a, "b")
    c = tf.multiply(a, e, name="c")
    tf.add(b, c, name="d")


def _names(graph) -> set[str]:
    return {node.name for node in graph.node}


class NodeNameTest(parameterized.TestCase):
    @parameterized.parameters(("a/b", "a/b"), ("a/b:1", "a/b"), ("^a/b", "a/b"))
    def test_outputs_and_control_inputs_name_their_node(self, name, expected):
        self.assertEqual(graph_surgery.node_name(name), expected)


class ExtractTest(absltest.TestCase):
    def test_the_input_node_is_left_out(self):
        graph = _graph(_diamond)
        self.assertEqual(_names(graph_surgery.extract_between(graph, "a", "b")), {"b"})

    def test_everything_before_the_output_is_kept(self):
        graph = _graph(_diamond)
        self.assertEqual(_names(graph_surgery.extract_up_to(graph, "b")), {"a", "b"})
        self.assertEqual(_names(graph_surgery.extract_up_to(graph, "c")), {"a", "e", "c"})

    def test_an_output_that_does_not_depend_on_the_input_is_rejected(self):
        for start, end in (("d", "b"), ("b", "b"), ("b", "c")):
            with self.assertRaisesRegex(
                graph_surgery.CutError, f"{end} does not depend on {start}"
            ):
                graph_surgery.extract_between(_graph(_diamond), start, end)

    def test_an_output_that_depends_on_another_input_is_rejected(self):
        with self.assertRaisesRegex(graph_surgery.CutError, "d also depends on e"):
            graph_surgery.extract_between(_graph(_diamond), "a", "d")

    def test_a_variable_is_rejected(self):
        def build(tf):
            pixels = tf.compat.v1.placeholder(tf.float32, (), "a")
            tf.multiply(pixels, tf.compat.v1.get_variable("w", (), use_resource=False), name="b")

        with self.assertRaisesRegex(graph_surgery.CutError, "w is a variable"):
            graph_surgery.extract_between(_graph(build), "a", "b")


class FollowIdentitiesTest(absltest.TestCase):
    def test_the_last_node_of_the_chain_is_returned(self):
        def build(tf):
            a = tf.compat.v1.placeholder(tf.float32, (), "a")
            b = tf.compat.v1.placeholder_with_default(a, (), "b")
            tf.negative(tf.identity(b, "c"), name="d")

        graph = _graph(build)
        for start in ("a", "b", "c"):
            self.assertEqual(graph_surgery.follow_identities(graph, start), "c")
        self.assertEqual(graph_surgery.follow_identities(graph, "d"), "d")

    def test_the_chain_ends_where_the_graph_branches(self):
        self.assertEqual(graph_surgery.follow_identities(_graph(_diamond), "a"), "a")


class ReplaceLegacyOperationsTest(absltest.TestCase):
    def test_a_network_of_2015_computes_the_same_for_several_images(self):
        graph = old_graphs.inception()
        self.assertContainsSubset(_LEGACY_OPERATIONS, {node.op for node in graph.node})
        part = graph_surgery.extract_between(graph, "Mul", "softmax")
        graph_surgery.replace_legacy_operations(part)
        self.assertNoCommonElements(_LEGACY_OPERATIONS, {node.op for node in part.node})
        self.assertNoCommonElements(_names(part), {"Mul", "DecodeJpeg", "DecodeJpeg/contents"})
        self.assertContainsSubset({"pool_3", "pool_3/_reshape", "softmax"}, _names(part))
        side = old_graphs.SIDE
        pixels = np.random.default_rng(0).uniform(-1, 1, (3, side, side, 3)).astype(np.float32)
        with GraphSession(graph) as session:
            expected = [session.run("softmax:0", {"Mul:0": image[None]}) for image in pixels]
        part.node.add(op="Placeholder", name="Mul").attr["dtype"].type = 1
        with GraphSession(parse_graph(part.SerializeToString())) as session:
            actual = session.run("softmax:0", {"Mul:0": pixels})
        np.testing.assert_allclose(actual, np.concatenate(expected), atol=1e-5)


class MakePortableTest(absltest.TestCase):
    def test_erfc_is_computed_with_erf(self):
        def build(tf):
            tf.math.erfc(tf.compat.v1.placeholder(tf.float32, (None,), "x"), name="y")

        graph, values = _graph(build), np.linspace(-2, 2, 9, dtype=np.float32)
        with GraphSession(graph.SerializeToString()) as session:
            expected = session.run("y:0", {"x:0": values})
        graph_surgery.make_portable(graph)
        self.assertNotIn("Erfc", {node.op for node in graph.node})
        with GraphSession(graph.SerializeToString()) as session:
            np.testing.assert_allclose(session.run("y:0", {"x:0": values}), expected, atol=1e-6)

    def test_custom_gradients_are_removed(self):
        graph = _graph(_diamond)
        graph.node[0].attr["_gradient_op_type"].s = b"CustomGradient-1"
        graph_surgery.make_portable(graph)
        self.assertNotIn("_gradient_op_type", graph.node[0].attr)


class AppendFlattenTest(absltest.TestCase):
    def test_maps_of_one_value_become_vectors(self):
        def build(tf):
            tf.identity(tf.compat.v1.placeholder(tf.float32, (None, 1, 1, 4), "x"), name="y")

        graph = _graph(build)
        name = graph_surgery.append_flatten(graph, "y", 4)
        values = np.arange(8, dtype=np.float32)
        with GraphSession(graph.SerializeToString()) as session:
            actual = session.run(f"{name}:0", {"x:0": values.reshape(2, 1, 1, 4)})
        np.testing.assert_array_equal(actual, values.reshape(2, 4))


class InferShapesTest(absltest.TestCase):
    def setUp(self):
        super().setUp()

        def build(tf):
            pixels = tf.compat.v1.placeholder(tf.float32, (None, None, None, 3), "pixels")
            pooled = tf.nn.avg_pool2d(pixels, 2, 2, "VALID", name="pool")
            tf.cast(pooled, tf.int32, name="integers")
            tf.reduce_mean(pooled, [1, 2], name="vector")
            tf.constant(np.ones((1, 7), np.float32), name="independent")

        self.graph = _graph(build)

    def test_float_outputs_that_depend_on_the_input_are_listed(self):
        shapes = graph_surgery.infer_shapes(self.graph, "pixels:0", (8, 6))
        self.assertEqual(
            list(shapes),
            [("pool", [None, 4, 3, 3]), ("vector", [None, 3])],
        )

    def test_a_size_that_does_not_fit_raises_a_value_error(self):
        with self.assertRaises(ValueError):
            list(graph_surgery.infer_shapes(self.graph, "pixels:0", (1, 1)))


if __name__ == "__main__":
    absltest.main()
