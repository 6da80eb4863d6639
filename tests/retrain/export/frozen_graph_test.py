"""Tests the tensors, the metadata and the error messages of frozen graphs."""

import dataclasses
import json
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain import metadata
from retrain.backbones import efficientnet_lite0, engines
from retrain.data import pixels
from retrain.errors import UserError
from retrain.export import frozen_graph
from retrain.export.assemble import TrainedClassifier
from retrain.runtimes import session_graph
from retrain.runtimes.graph_def import parse_graph
from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.head import Head
from retrain.runtimes.preprocessing import normalise
from retrain.runtimes.runtime import ModelError, Runtime
from retrain.runtimes.tensorflow_import import import_session_modules

_LABELS = ("red", "grün", "blue sky")


def _description(backbone, **changes) -> metadata.Metadata:
    return metadata.Metadata(
        **{
            **dict(labels=_LABELS, folders=("Red", "Grün", "Blue_Sky"), height=224, width=224),
            **dict(mean=backbone.mean, std=backbone.std, channel_order="RGB"),
            **dict(resize_method=pixels.RESIZE_METHOD, output="final_result"),
            **dict(backbone=backbone.name, fingerprint=backbone.fingerprint, split={}),
            **dict(test_accuracy=None, training={"steps": 3}, versions={}),
            **changes,
        }
    )


def _load(path: Path) -> Runtime:
    return session_graph.load(path, parse_graph(path.read_bytes()))


class FrozenGraphTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        backbone = efficientnet_lite0.load()
        rng = np.random.default_rng(0)
        head = Head(
            rng.normal(0, 0.2, (1280, 3)).astype(np.float32), np.array([0, 1, -1], np.float32)
        )
        cls.classifier = TrainedClassifier(backbone, head, _description(backbone))
        cls.image = rng.integers(0, 256, (1, 224, 224, 3), np.uint8)
        cls.features = engines.create(engines.FLOAT32, backbone).load().run(cls.image)

    def write(self, data: bytes) -> Path:
        return Path(self.create_tempfile("graph.pb", content=data, mode="wb").full_path)

    def write_image(self) -> Path:
        path = Path(self.create_tempdir().full_path) / "image.png"
        Image.fromarray(self.image[0]).save(path)
        return path

    def test_every_input_yields_the_probabilities_of_the_head(self):
        expected = self.classifier.head.probabilities(self.features)
        normalised = normalise(self.image, (127,) * 3, (128,) * 3)
        with GraphSession(frozen_graph.to_bytes(self.classifier)) as session:
            for name in ("input:0", "Mul:0", "Placeholder:0"):
                found = session.run("final_result:0", {name: normalised})
                np.testing.assert_allclose(found, expected, atol=1e-4)
            data = self.write_image().read_bytes()
            found = session.run("final_result:0", {"DecodeJpeg/contents:0": data})
            np.testing.assert_allclose(found, expected, atol=1e-4)
            found = session.run("final_result:0", {"DecodeJpeg:0": self.image[0]})
            np.testing.assert_allclose(found, expected, atol=1e-4)
            many = session.run("final_result:0", {"input:0": np.repeat(normalised, 5, 0)})
            np.testing.assert_allclose(many, np.repeat(expected, 5, 0), atol=1e-4)

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
        expected = self.classifier.head.probabilities(self.features)
        loaded = _load(self.write(frozen_graph.to_bytes(self.classifier)))
        np.testing.assert_allclose(loaded.run(self.image), expected, atol=1e-4)
        data = self.write_image().read_bytes()
        np.testing.assert_allclose(loaded.run_file(data), expected[0], atol=1e-4)

    def test_undecodable_file_raises_model_error(self):
        loaded = _load(self.write(frozen_graph.to_bytes(self.classifier)))
        with self.assertRaisesRegex(ModelError, "^Unknown image file format"):
            loaded.run_file(b"not an image")

    def test_bgr_network_accepts_rgb(self):
        expected = self.classifier.head.probabilities(self.features)
        swapped = dataclasses.replace(self.classifier.metadata, channel_order="BGR")
        classifier = dataclasses.replace(self.classifier, metadata=swapped)
        loaded = _load(self.write(frozen_graph.to_bytes(classifier)))
        found = loaded.run(self.image[..., ::-1])
        np.testing.assert_allclose(found, expected, atol=1e-4)

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


class SessionTest(parameterized.TestCase):
    @parameterized.parameters(b"", b"not a graph at all", b"\x00" * 100, b"\xff" * 100)
    def test_other_data_is_rejected(self, data: bytes):
        with self.assertRaises(ModelError):
            GraphSession(data)


class MetadataTest(parameterized.TestCase):
    def test_fields_of_a_later_program_are_left_out(self):
        described = _description(efficientnet_lite0.load())
        text = json.dumps({**json.loads(described.to_json()), "invented_later": 1})
        self.assertEqual(metadata.from_json(text), described)

    def test_a_later_format_is_refused(self):
        fields = json.loads(_description(efficientnet_lite0.load()).to_json())
        with self.assertRaisesRegex(metadata.MetadataError, "format 99"):
            metadata.from_json(json.dumps({**fields, "format_version": 99}))

    @parameterized.parameters("", "[]", "3", "{}", '{"format_version": 1}', "\ud800")
    def test_other_texts_are_refused(self, text: str):
        with self.assertRaises(metadata.MetadataError):
            metadata.from_json(text)


if __name__ == "__main__":
    absltest.main()
