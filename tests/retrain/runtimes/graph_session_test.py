"""Tests that graphs run in sessions, and that errors have one line."""

import numpy as np
from absl.testing import absltest

from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.runtime import ModelError
from retrain.system.threads import parallel_map


class GraphSessionTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        import tensorflow as tf

        with tf.Graph().as_default() as graph:
            first = tf.compat.v1.placeholder(tf.float32, [None], "first")
            second = tf.compat.v1.placeholder_with_default(3 * first, [None], "second")
            tf.identity(second + 1, "sum")
        cls.graph = graph.as_graph_def().SerializeToString()

    def test_any_tensor_can_be_fed_again_and_again(self):
        with GraphSession(self.graph) as session:
            for _ in range(2):
                for feeds, expected in (({"first:0": [2.0]}, 7), ({"second:0": [2.0]}, 3)):
                    np.testing.assert_array_equal(session.run("sum:0", feeds), [expected])

    def test_a_node_stands_for_its_first_output(self):
        with GraphSession(self.graph) as session:
            np.testing.assert_array_equal(session.run("sum", {"first": [2.0]}), [7])
            self.assertEqual(session.shape_and_dtype("first"), ((None,), "float32"))

    def test_other_tensors_are_not_there(self):
        with GraphSession(self.graph) as session:
            for name in ("third", "first:1", "not a name:"):
                self.assertFalse(session.has(name), name)
                self.assertIsNone(session.shape_and_dtype(name))

    def test_a_missing_input_is_an_error_every_time(self):
        with GraphSession(self.graph) as session:
            for _ in range(2):
                with self.assertRaises(ModelError) as caught:
                    session.run("sum", {})
                self.assertRegex(str(caught.exception), r"\A.*placeholder.*\Z")

    def test_threads_can_make_the_first_call_at_the_same_time(self):
        with GraphSession(self.graph) as session:
            values = [np.float32([number]) for number in range(50)]
            sums = parallel_map(lambda value: session.run("sum", {"first": value}), values, 4)
            np.testing.assert_array_equal(list(sums), [3 * value + 1 for value in values])

    def test_unknown_operations_are_an_error(self):
        damaged = self.graph.replace(b"Placeholder", b"Plaxeholder")
        with self.assertRaises(ModelError) as caught:
            GraphSession(damaged)
        self.assertRegex(str(caught.exception), r"\A.*Plaxeholder.*\Z")


if __name__ == "__main__":
    absltest.main()
