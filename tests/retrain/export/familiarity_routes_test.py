"""Tests that every exported file gives an image the same familiarity, within rounding."""

import dataclasses
import json
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from retrain import metadata
from retrain.backbones import efficientnet_lite0, engines, quantise
from retrain.bottlenecks.reduced_features import ReducedCopies
from retrain.export import frozen_graph, keras_file, saved_model, tflite
from retrain.export.assemble import TrainedClassifier
from retrain.output_options import TFLiteOptions
from retrain.runtimes import classifier_file, familiarity_packing, tflite_file
from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.preprocessing import normalise
from retrain.runtimes.runtime import Runtime
from retrain.training.familiarity_fit import fit_familiarity
from retrain.training.familiarity_model import LabeledFeatures
from tests.support import sample_classifier

_TOLERANCE = 2e-3


def _with_familiarity(features: np.ndarray, **changes) -> TrainedClassifier:
    """Returns a classifier whose familiarity is fitted to features of sample images."""
    class_ids = np.arange(len(features)) % len(sample_classifier.LABELS)
    copies = ReducedCopies(np.arange(4), features[:4])
    familiarity = fit_familiarity(
        [LabeledFeatures(features, class_ids)],
        np.arange(len(features)),
        copies,
        class_count=len(sample_classifier.LABELS),
    )
    assert familiarity is not None
    classifier = sample_classifier.classifier(familiarity=familiarity_packing.pack(familiarity))
    return dataclasses.replace(classifier, familiarity=familiarity, **changes)


class FamiliarityRoutesTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.training = sample_classifier.features(sample_classifier.images(40))
        cls.classifier = _with_familiarity(cls.training)
        # Some images are like those that were fitted to, and the others are not.
        cls.images = np.concatenate(
            [
                sample_classifier.images(4, seed=1),
                np.full((1, 224, 224, 3), 90, np.uint8),
                sample_classifier.images(2)[:, ::2, ::2].repeat(2, 1).repeat(2, 2),
            ]
        )
        features = sample_classifier.features(cls.images)
        cls.expected = cls.classifier.familiarity.scores(features)
        cls.probabilities = cls.classifier.head.probabilities(features)

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def load_all(self, path: Path) -> list[Runtime]:
        return list(classifier_file.load_all(path, efficientnet_lite0.find))

    def check(self, runtime: Runtime, *, tolerance: float = _TOLERANCE) -> None:
        self.assertIsNotNone(runtime.description.familiarity)
        values, familiarity = runtime.predict(self.images)
        assert familiarity is not None
        np.testing.assert_allclose(familiarity, self.expected, atol=tolerance)
        self.assertEqual((familiarity.dtype, familiarity.shape), (np.float32, (7,)))
        np.testing.assert_allclose(values, self.probabilities, atol=max(1e-3, tolerance))
        if runtime.takes_files:
            path = sample_classifier.save(self.folder, self.images[0], "image.png")
            one = runtime.predict_file(path.read_bytes())
            assert one.familiarity is not None
            self.assertEqual(np.shape(one.familiarity), ())
            self.assertAlmostEqual(float(one.familiarity), self.expected[0], delta=0.01)

    def test_the_sample_has_familiar_and_unfamiliar_images(self):
        self.assertGreater(self.expected.max(), 0.1)
        self.assertLess(self.expected.min(), 0.01)

    def test_frozen_graph(self):
        path = self.folder / "graph.pb"
        frozen_graph.write(path, self.classifier)
        known, session = self.load_all(path)
        self.check(known)
        self.check(session)

    def test_scripts_can_compute_the_node_of_the_frozen_graph(self):
        with GraphSession(frozen_graph.to_bytes(self.classifier)) as session:
            normalised = (self.images.astype(np.float32) - 127) / 128
            found = session.run("familiarity:0", {"input:0": normalised})
            np.testing.assert_allclose(found, self.expected, atol=_TOLERANCE)
            data = sample_classifier.save(self.folder, self.images[4], "image.png").read_bytes()
            one = session.run("familiarity:0", {"DecodeJpeg/contents:0": data})
            np.testing.assert_allclose(one, self.expected[4:5], atol=0.01)

    def test_saved_model_has_signatures_of_its_own_for_the_familiarity(self):
        saved_model.write(self.folder / "model", self.classifier)
        runtime, plain = self.load_all(self.folder / "model")
        self.check(runtime)
        import tensorflow as tf

        signatures = tf.saved_model.load(str(self.folder / "model")).signatures
        self.assertCountEqual(
            signatures, ["serving_default", "serve_bytes", "familiarity", "familiarity_bytes"]
        )
        file = sample_classifier.save(self.folder, self.images[0], "image.png").read_bytes()
        values = signatures["serving_default"](image=tf.constant(self.images))["probabilities"]
        np.testing.assert_array_equal(values, runtime.run(self.images))
        np.testing.assert_array_equal(values, plain.run(self.images))
        values = signatures["serve_bytes"](image_bytes=tf.constant([file]))["probabilities"]
        np.testing.assert_array_equal(values[0], runtime.run_file(file))
        np.testing.assert_array_equal(values[0], plain.run_file(file))
        self.assertIsNone(plain.description.familiarity)
        self.assertIsNone(plain.predict(self.images).familiarity)
        # Clients of TensorFlow Serving's REST API expect a single output.
        for name, signature in signatures.items():
            outputs = ["probabilities"]
            outputs += ["familiarity"] if name.startswith("familiarity") else []
            self.assertCountEqual(signature.structured_outputs, outputs)

    def test_keras_file(self):
        path = self.folder / "model.keras"
        keras_file.write(path, self.classifier)
        (runtime,) = self.load_all(path)
        self.check(runtime)

    @parameterized.parameters(
        ("none", "uint8", _TOLERANCE),
        ("none", "float32", _TOLERANCE),
        ("float16", "uint8", 0.1),
        ("dynamic", "uint8", 0.5),
    )
    def test_tflite_file(self, quantization: str, input_type: str, tolerance: float):
        path = self.folder / "model.tflite"
        tflite.write(path, self.classifier, TFLiteOptions(quantization, input_type))
        (runtime,) = self.load_all(path)
        self.check(runtime, tolerance=tolerance)

    def test_int8_features_have_a_familiarity_of_their_own(self):
        backbone = efficientnet_lite0.load()
        measured = sample_classifier.images(10, seed=1)
        normalised = normalise(measured, backbone.mean, backbone.std)
        network = quantise.to_int8(backbone.read_tflite(), normalised)
        compute = {"engine": engines.INT8, "int8_network": network}
        training = sample_classifier.features(sample_classifier.images(40), **compute)
        classifier = _with_familiarity(training, int8_network=network)
        file = tflite.to_bytes(classifier, TFLiteOptions("int8", "uint8"))
        features = sample_classifier.features(self.images, **compute)
        found = tflite_file.load(file).predict(self.images).familiarity
        np.testing.assert_allclose(found, classifier.familiarity.scores(features), atol=_TOLERANCE)

    def test_the_first_features_alone_can_have_a_familiarity(self):
        # As with --solver=sgd, which uses the last layer only.
        classifier = _with_familiarity(self.training[:, :1280])
        features = sample_classifier.features(self.images)
        expected = classifier.familiarity.scores(features)
        np.testing.assert_array_equal(expected, classifier.familiarity.scores(features[:, :1280]))
        path = self.folder / "graph.pb"
        frozen_graph.write(path, classifier)
        for runtime in self.load_all(path):
            found = runtime.predict(self.images).familiarity
            np.testing.assert_allclose(found, expected, atol=_TOLERANCE)

    def test_files_without_familiarity_give_none(self):
        plain = sample_classifier.classifier()
        frozen_graph.write(self.folder / "graph.pb", plain)
        tflite.write(self.folder / "model.tflite", plain, TFLiteOptions("none", "uint8"))
        for path in (self.folder / "graph.pb", self.folder / "model.tflite"):
            for runtime in self.load_all(path):
                self.assertIsNone(runtime.description.familiarity)
                self.assertIsNone(runtime.predict(self.images[:1]).familiarity)
                self.assertEqual(runtime.predict(self.images[:1]).values.shape, (1, 3))

    def test_a_file_whose_features_cannot_be_found_gives_none(self):
        # The metadata alone, as in a file that another program wrote.
        unknown = dataclasses.replace(self.classifier, familiarity=None)
        frozen_graph.write(self.folder / "graph.pb", unknown)
        session = self.load_all(self.folder / "graph.pb")[-1]
        self.assertIsNone(session.predict(self.images[:1]).familiarity)
        self.assertIsNone(session.description.familiarity)
        with mock.patch("retrain.export.tflite_head.TFLITE_FEATURES", "other"):
            file = tflite.to_bytes(self.classifier, TFLiteOptions("none", "uint8"))
        runtime = tflite_file.load(file)
        self.assertIsNone(runtime.predict(self.images[:1]).familiarity)
        self.assertIsNone(runtime.description.familiarity)

    def test_damaged_familiarity_is_refused_in_one_line(self):
        packed = {**self.classifier.metadata.familiarity, "rank": 3}
        damaged = dataclasses.replace(self.classifier.metadata, familiarity=packed)
        file = tflite.to_bytes(
            dataclasses.replace(self.classifier, metadata=damaged), TFLiteOptions("none", "uint8")
        )
        with self.assertRaisesRegex(metadata.MetadataError, "the familiarity in its metadata"):
            tflite_file.load(file)

    def test_apps_find_the_numbers_in_the_metadata_of_a_tflite_file(self):
        path = self.folder / "model.tflite"
        tflite.write(path, self.classifier, TFLiteOptions("none", "uint8"))
        with zipfile.ZipFile(path) as archive:
            fields = json.loads(archive.read(metadata.METADATA_FILE))["familiarity"]
        unpacked = familiarity_packing.unpack(fields, classes=3)
        np.testing.assert_array_equal(unpacked.basis, self.classifier.familiarity.basis)


if __name__ == "__main__":
    absltest.main()
