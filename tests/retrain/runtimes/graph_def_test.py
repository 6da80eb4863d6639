"""Tests that GraphDefs, their metadata and their constants are read without running them."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.export import frozen_graph
from retrain.metadata import MetadataError
from retrain.runtimes import graph_def
from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.runtime import ModelError
from tests.support import sample_classifier


class ParseGraphTest(parameterized.TestCase):
    @parameterized.parameters(b"", b"not a graph at all", b"\x00" * 100, b"\xff" * 100)
    def test_other_data_is_rejected(self, data: bytes):
        with self.assertRaises(ModelError):
            graph_def.parse_graph(data)
        with self.assertRaises(ModelError):
            GraphSession(data)

    def test_the_reason_has_no_terms_of_protobuf(self):
        for data, reason in ((b"no graph at all", "it has another format"), (b"", "no nodes")):
            with self.assertRaisesRegex(ModelError, f"{reason}$"):
                graph_def.parse_graph(data)


class ExportedGraphTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.classifier = sample_classifier.classifier()
        self.graph = graph_def.parse_graph(frozen_graph.to_bytes(self.classifier))

    def node(self, name: str):
        (node,) = (node for node in self.graph.node if node.name == name)
        return node

    def test_metadata_are_found(self):
        self.assertEqual(graph_def.find_metadata(self.graph), self.classifier.metadata)

    def test_damaged_metadata_are_an_error(self):
        self.node("retrain_metadata").attr["value"].tensor.string_val[0] = b"{}"
        with self.assertRaises(MetadataError):
            graph_def.find_metadata(self.graph)

    def test_a_graph_without_metadata_has_none(self):
        self.node("retrain_metadata").name = "other"
        self.assertIsNone(graph_def.find_metadata(self.graph))

    def test_constants_are_read(self):
        scope, head = "final_training_ops", self.classifier.head
        for name, value in (
            ("weights/final_weights", head.weights),
            ("biases/final_biases", head.bias),
        ):
            constant = graph_def.read_constant(self.node(f"{scope}/{name}"))
            np.testing.assert_array_equal(constant, value)

    def test_a_constant_of_another_encoding_is_not_read(self):
        node = self.node("final_training_ops/biases/final_biases")
        node.attr["value"].tensor.tensor_content = node.attr["value"].tensor.tensor_content[:-4]
        self.assertIsNone(graph_def.read_constant(node))

    def test_a_constant_with_its_numbers_one_by_one_is_read(self):
        node = self.node("final_training_ops/biases/final_biases")
        tensor = node.attr["value"].tensor
        tensor.tensor_content = b""
        tensor.float_val.extend([1.5, -2.0, 3.0])
        np.testing.assert_array_equal(graph_def.read_constant(node), [1.5, -2.0, 3.0])
        # TensorFlow repeats the last number until the shape is filled.
        del tensor.float_val[1:]
        self.assertIsNone(graph_def.read_constant(node))


if __name__ == "__main__":
    absltest.main()
