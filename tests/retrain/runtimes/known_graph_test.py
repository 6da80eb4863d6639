"""Tests that exported graphs run without TensorFlow if, and only if, that gives their scores."""

from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.export import frozen_graph
from retrain.metadata import Metadata, MetadataError
from retrain.runtimes import graph_file, known_graph
from retrain.runtimes.graph_def import parse_graph
from retrain.runtimes.head import Head
from retrain.runtimes.runtime import NO_OVERRIDES, Description, NetworkOverrides
from tests.support import sample_classifier


def _halve(node) -> None:
    """Halves the numbers in a constant."""
    tensor = node.attr["value"].tensor
    numbers = np.frombuffer(tensor.tensor_content, np.float32)
    tensor.tensor_content = (numbers * np.float32(0.5)).tobytes()


class KnownGraphTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.classifier = sample_classifier.classifier()
        cls.content = frozen_graph.to_bytes(cls.classifier)
        cls.images = sample_classifier.images(4)

    def setUp(self):
        super().setUp()
        self.graph = parse_graph(self.content)

    def find(self, name: str):
        return self.classifier.backbone if name == "efficientnet_lite0" else None

    def load(self, overrides: NetworkOverrides = NO_OVERRIDES):
        return known_graph.load(self.graph, self.find, overrides=overrides)

    def node(self, name: str):
        (node,) = (node for node in self.graph.node if node.name.endswith(name))
        return node

    def assert_runs_as_a_session(self) -> np.ndarray:
        found = self.load().run(self.images)
        expected = graph_file.load(Path("graph.pb"), self.graph).run(self.images)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        return found

    def set_metadata(self, **changes) -> None:
        metadata: Metadata = sample_classifier.classifier(**changes).metadata
        self.node("retrain_metadata").attr["value"].tensor.string_val[0] = (
            metadata.to_json().encode()
        )

    def test_probabilities_are_those_of_the_head(self):
        runtime = self.load()
        self.assertEqual(
            runtime.description, Description(sample_classifier.LABELS, 224, 224, fit="stretch")
        )
        features = sample_classifier.features(self.images)
        expected = self.classifier.head.probabilities(features)
        np.testing.assert_allclose(runtime.run(self.images), expected, atol=1e-5)
        self.assert_runs_as_a_session()

    def test_graphs_of_earlier_versions_have_a_head_for_the_bottleneck(self):
        for node in [node for node in self.graph.node if node.name == "all_features"]:
            self.graph.node.remove(node)
        self.node("Wx_plus_b/MatMul").input[0] = "bottleneck"
        weights = self.classifier.head.weights[:1280]
        tensor = self.node("final_weights").attr["value"].tensor
        tensor.tensor_content = weights.tobytes()
        tensor.tensor_shape.dim[0].size = 1280
        found = self.assert_runs_as_a_session()
        features = sample_classifier.features(self.images)[:, :1280]
        expected = Head(weights, self.classifier.head.bias).probabilities(features)
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_preprocessing_is_that_of_the_metadata(self):
        plain = self.load().run(self.images)
        self.set_metadata(mean=(100.0, 110.0, 120.0), std=(90.0, 100.0, 110.0), channel_order="BGR")
        changed = self.assert_runs_as_a_session()
        self.assertGreater(np.abs(plain - changed).max(), 0.01)

    def test_overrides_win_over_the_metadata(self):
        overrides = NetworkOverrides(mean=100, std=90)
        plain, found = self.load().run(self.images), self.load(overrides).run(self.images)
        self.assertGreater(np.abs(found - plain).max(), 0.01)
        expected = graph_file.load(Path("graph.pb"), self.graph, overrides=overrides).run(
            self.images
        )
        np.testing.assert_allclose(found, expected, atol=1e-4)

    def test_a_changed_head_is_used(self):
        before = self.load().run(self.images)
        _halve(self.node("final_weights"))
        after = self.assert_runs_as_a_session()
        self.assertGreater(np.abs(before - after).max(), 0.01)

    def test_a_changed_backbone_is_not_known(self):
        constants = (node for node in self.graph.node if node.name.startswith("backbone/"))
        _halve(
            next(
                node
                for node in constants
                if node.op == "Const" and len(node.attr["value"].tensor.tensor_content) > 100
            )
        )
        self.assertIsNone(self.load())

    def test_other_operations_are_not_known(self):
        self.node("MatMul").attr["transpose_a"].b = False
        self.assertIsNone(self.load())

    def test_other_connections_are_not_known(self):
        self.node("Wx_plus_b/add").input[0] = "bottleneck"
        self.assertIsNone(self.load())

    def test_additional_nodes_are_not_known(self):
        self.graph.node.add(op="Identity", name="more", input=["final_result"])
        self.assertIsNone(self.load())

    def test_another_attribute_is_not_known(self):
        for name, value in (("data_format", b"NCHW"), ("padding", b"VALID")):
            self.graph = parse_graph(self.content)
            convolution = next(node for node in self.graph.node if node.op == "Conv2D")
            convolution.attr[name].s = value
            self.assertIsNone(self.load(), name)

    def test_default_attributes_can_be_left_out(self):
        # Version 1.0 wrote them, and this version does not.
        for node in self.graph.node:
            if node.op == "Conv2D":
                node.attr["data_format"].s = b"NHWC"
                node.attr["dilations"].list.i[:] = [1, 1, 1, 1]
                node.attr["use_cudnn_on_gpu"].b = True
                node.attr["explicit_paddings"].list.SetInParent()
        self.assert_runs_as_a_session()

    def test_other_nodes_to_decode_files_are_known(self):
        decode = next(node for node in self.graph.node if node.op == "DecodePng")
        decode.attr["channels"].i = 1
        self.assertIsNotNone(self.load())

    @parameterized.parameters((2, 1280), (1280, 2), (640, 3), (3840,), (-1280, -3), (10**12, 3))
    def test_a_head_of_another_shape_is_not_known(self, *shape: int):
        tensor = self.graph.node[-5].attr["value"].tensor
        self.assertLen(tensor.tensor_shape.dim, 2)
        del tensor.tensor_shape.dim[:]
        for size in shape:
            tensor.tensor_shape.dim.add(size=size)
        if 0 < np.prod(shape, dtype=np.int64) < 10**6:
            tensor.tensor_content = bytes(4 * int(np.prod(shape)))
        self.assertIsNone(self.load())

    def test_a_head_with_a_part_of_a_number_is_not_known(self):
        self.graph.node[-5].attr["value"].tensor.tensor_content += b"\0"
        self.assertIsNone(self.load())

    def test_another_output_is_not_known(self):
        self.set_metadata(output="bottleneck")
        self.assertIsNone(self.load())

    def test_another_backbone_is_not_known(self):
        self.set_metadata(backbone="mobilenet_v2")
        self.assertIsNone(self.load())

    def test_a_graph_without_metadata_is_not_known(self):
        self.node("retrain_metadata").name = "other"
        self.assertIsNone(self.load())

    def test_damaged_metadata_are_an_error(self):
        self.node("retrain_metadata").attr["value"].tensor.string_val[0] = b"{"
        with self.assertRaises(MetadataError):
            self.load()


if __name__ == "__main__":
    absltest.main()
