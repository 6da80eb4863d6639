"""Graphs run with a part of TensorFlow, and the whole of it works as usual afterwards."""

import subprocess
import sys

import numpy as np
from absl.testing import absltest

from retrain.runtimes.graph_def import parse_graph
from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.runtime import ModelError

_WHOLE_AFTER_A_PART = """
from retrain.runtimes.tensorflow_import import import_session_modules
import_session_modules()
import tensorflow as tf
equal = tf.function(lambda numbers: numbers == tf.constant([1.0, 2.0]))
print(equal(tf.constant([1.0, 3.0])).numpy().tolist())
print(tf.executing_eagerly(), tf.compat.v1.executing_eagerly_outside_functions())
"""


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

    def test_answers_each_question_again_and_again(self):
        with GraphSession(self.graph) as session:
            for _ in range(2):
                for feeds, answer in (({"first:0": [2.0]}, 7), ({"second:0": [2.0]}, 3)):
                    np.testing.assert_array_equal(session.run("sum:0", feeds), [answer])

    def test_what_cannot_be_answered_is_an_error_every_time(self):
        with GraphSession(self.graph) as session:
            for _ in range(2):
                with self.assertRaises(ModelError):
                    session.run("sum:0", {})

    def test_what_is_no_graph_is_said_without_words_of_protobuf(self):
        for data, reason in ((b"no graph at all", "it has another format"), (b"", "no nodes")):
            with self.assertRaisesRegex(ModelError, f"{reason}$"):
                parse_graph(data)

    def test_all_of_tensorflow_works_as_usual_afterwards(self):
        done = subprocess.run(
            [sys.executable, "-c", _WHOLE_AFTER_A_PART],
            env={"PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.stdout.split("\n"), ["[True, False]", "True True", ""], done.stderr)


if __name__ == "__main__":
    absltest.main()
