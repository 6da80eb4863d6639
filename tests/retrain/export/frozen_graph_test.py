"""Tests the tensors, the metadata and the error messages of frozen graphs."""

import dataclasses
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain import metadata
from retrain.backbones import efficientnet_lite0
from retrain.data import pixels
from retrain.errors import UserError
from retrain.export import frozen_graph
from retrain.export.assemble import TrainedClassifier
from retrain.metadata import CROP, PAD
from retrain.runtimes import graph_file, known_graph
from retrain.runtimes.graph_def import parse_graph
from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.preprocessing import normalise
from retrain.runtimes.runtime import ModelError, Runtime
from retrain.runtimes.tensorflow_import import import_session_modules
from tests.support import sample_classifier


class FrozenGraphTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.classifier = sample_classifier.classifier()
        cls.image = sample_classifier.images(1)
        features = sample_classifier.features(cls.image)
        cls.expected = cls.classifier.head.probabilities(features)

    def load(self, classifier: TrainedClassifier) -> Runtime:
        data = frozen_graph.to_bytes(classifier)
        path = Path(self.create_tempfile("graph.pb", content=data, mode="wb").full_path)
        return graph_file.load(path, parse_graph(path.read_bytes()))

    def image_file(self) -> bytes:
        folder = Path(self.create_tempdir().full_path)
        return sample_classifier.save(folder, self.image[0], "image.png").read_bytes()

    def test_every_input_yields_the_probabilities_of_the_head(self):
        normalised = normalise(self.image, (127,) * 3, (128,) * 3)
        with GraphSession(frozen_graph.to_bytes(self.classifier)) as session:
            for name in ("input:0", "Mul:0", "Placeholder:0"):
                found = session.run("final_result:0", {name: normalised})
                np.testing.assert_allclose(found, self.expected, atol=1e-4)
            data = self.image_file()
            found = session.run("final_result:0", {"DecodeJpeg/contents:0": data})
            np.testing.assert_allclose(found, self.expected, atol=1e-4)
            found = session.run("final_result:0", {"DecodeJpeg:0": self.image[0]})
            np.testing.assert_allclose(found, self.expected, atol=1e-4)
            many = session.run("final_result:0", {"input:0": np.repeat(normalised, 5, 0)})
            np.testing.assert_allclose(many, np.repeat(self.expected, 5, 0), atol=1e-4)

    def test_graph_has_no_functions_and_no_variables(self):
        graph = parse_graph(frozen_graph.to_bytes(self.classifier))
        self.assertEmpty(graph.library.function)
        stateful = {"VarHandleOp", "ReadVariableOp", "StatelessIf", "If", "PartitionedCall"}
        self.assertEmpty({node.op for node in graph.node} & stateful)

    def test_metadata_is_a_constant(self):
        graph = parse_graph(frozen_graph.to_bytes(self.classifier))
        (node,) = (node for node in graph.node if node.name == "retrain_metadata")
        text = import_session_modules().tensor_util.MakeNdarray(node.attr["value"].tensor).item()
        self.assertEqual(metadata.from_json(text), self.classifier.metadata)

    def test_output_has_the_chosen_name(self):
        named = dataclasses.replace(self.classifier.metadata, output="scores/best")
        data = frozen_graph.to_bytes(dataclasses.replace(self.classifier, metadata=named))
        with GraphSession(data) as session:
            self.assertEqual(session.shape_and_dtype("scores/best:0"), ((None, 3), "float32"))

    def test_equal_classifiers_make_identical_files(self):
        data = frozen_graph.to_bytes(self.classifier)
        self.assertEqual(data, frozen_graph.to_bytes(self.classifier))

    def test_load_matches_head(self):
        loaded = self.load(self.classifier)
        np.testing.assert_allclose(loaded.run(self.image), self.expected, atol=1e-4)
        data = self.image_file()
        np.testing.assert_allclose(loaded.run_file(data), self.expected[0], atol=1e-4)

    def test_undecodable_file_raises_model_error(self):
        loaded = self.load(self.classifier)
        with self.assertRaisesRegex(ModelError, "^Unknown image file format"):
            loaded.run_file(b"not an image")

    def test_bgr_network_accepts_rgb(self):
        swapped = dataclasses.replace(self.classifier.metadata, channel_order="BGR")
        classifier = dataclasses.replace(self.classifier, metadata=swapped)
        loaded = self.load(classifier)
        found = loaded.run(self.image[..., ::-1])
        np.testing.assert_allclose(found, self.expected, atol=1e-4)

    @parameterized.parameters(CROP, PAD)
    def test_files_are_fitted_as_the_metadata_states(self, fit: str):
        backbone = dataclasses.replace(self.classifier.backbone, fit=fit)
        described = dataclasses.replace(self.classifier.metadata, fit=fit)
        classifier = dataclasses.replace(self.classifier, backbone=backbone, metadata=described)
        loaded = self.load(classifier)
        self.assertEqual(loaded.description.fit, fit)
        folder = Path(self.create_tempdir().full_path)
        image = sample_classifier.save(folder, self.image[0], "image.png", size=(500, 200))
        data = image.read_bytes()
        fitted = pixels.decode(data, 224, 224, fit=fit)[np.newaxis]
        expected = classifier.head.probabilities(sample_classifier.features(fitted))
        np.testing.assert_allclose(loaded.run_file(data), expected[0], atol=1e-2)
        np.testing.assert_allclose(loaded.run(fitted), expected, atol=1e-4)
        stretched = self.load(self.classifier).run_file(data)
        self.assertGreater(np.abs(stretched - expected[0]).max(), 0.05)
        # LiteRT runs the network in this graph, too.
        graph = parse_graph(frozen_graph.to_bytes(classifier))
        fast = known_graph.load(graph, efficientnet_lite0.find)
        assert fast is not None
        self.assertEqual(fast.description.fit, fit)
        np.testing.assert_allclose(fast.run(fitted), expected, atol=1e-4)

    @parameterized.parameters("a b", "", "a:0", "input", "Mul", "bottleneck", "decode/Equal", "-x")
    def test_invalid_output_names_are_rejected(self, name: str):
        with self.assertRaisesRegex(UserError, f"--final_tensor_name={name} is"):
            frozen_graph.check_output_name(name)

    def test_name_of_a_tensor_in_the_backbone_is_rejected(self):
        graph = parse_graph(self.classifier.backbone.graph_file.read_bytes())
        inner = next(node.name for node in graph.node if node.op == "Conv2D")
        description = dataclasses.replace(self.classifier.metadata, output=inner)
        classifier = dataclasses.replace(self.classifier, metadata=description)
        with self.assertRaisesRegex(UserError, f"--final_tensor_name={inner} is the name of "):
            frozen_graph.to_bytes(classifier)


if __name__ == "__main__":
    absltest.main()
