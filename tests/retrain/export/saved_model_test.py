"""Tests that a SavedModel suits TensorFlow Serving and computes the head's probabilities."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain import metadata
from retrain.data import pixels
from retrain.export import saved_model
from retrain.runtimes import saved_model_folder
from retrain.runtimes.runtime import ModelError
from tests.support import sample_classifier


class SavedModelTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        import tensorflow as tf

        cls.tf = tf
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.classifier = sample_classifier.classifier()
        saved_model.write(cls.folder, cls.classifier)
        cls.loaded = tf.saved_model.load(str(cls.folder))
        cls.images = sample_classifier.images(3)
        features = sample_classifier.features(cls.images)
        cls.expected = cls.classifier.head.probabilities(features)

    def test_signatures_have_the_documented_names_shapes_and_types(self):
        signatures = self.loaded.signatures
        self.assertCountEqual(signatures, ["serving_default", "serve_bytes"])
        expected = {
            "serving_default": ("image", "uint8", [None, 224, 224, 3]),
            "serve_bytes": ("image_bytes", "string", [None]),
        }
        for name, (argument, dtype, shape) in expected.items():
            _, inputs = signatures[name].structured_input_signature
            self.assertEqual(list(inputs), [argument])
            self.assertEqual(inputs[argument].dtype.name, dtype)
            self.assertEqual(inputs[argument].shape.as_list(), shape)
            (output,) = signatures[name].structured_outputs.items()
            self.assertEqual(output[0], "probabilities")
            self.assertEqual(output[1].dtype.name, "float32")
            self.assertEqual(output[1].shape.as_list(), [None, 3])

    def test_tags_and_method_name_are_those_of_tensorflow_serving(self):
        from tensorflow.core.protobuf import saved_model_pb2

        saved = saved_model_pb2.SavedModel.FromString((self.folder / "saved_model.pb").read_bytes())
        (graph,) = saved.meta_graphs
        self.assertEqual(list(graph.meta_info_def.tags), ["serve"])
        signature = graph.signature_def["serving_default"]
        self.assertEqual(signature.method_name, "tensorflow/serving/predict")

    def test_load_matches_head(self):
        found = saved_model_folder.load(self.folder).run(self.images)
        np.testing.assert_allclose(found, self.expected, atol=1e-4)

    def test_a_batch_can_mix_formats_and_sizes(self):
        folder = Path(self.create_tempdir().full_path)
        paths = [
            sample_classifier.save(folder, self.images[0], "0.png"),
            sample_classifier.save(folder, self.images[1], "1.jpg", size=(800, 600)),
            sample_classifier.save(folder, self.images[2], "2.bmp", size=(100, 300)),
        ]
        files = [path.read_bytes() for path in paths]
        decoded = np.stack([pixels.decode(data, 224, 224) for data in files])
        features = sample_classifier.features(decoded)
        expected = self.classifier.head.probabilities(features)
        found = self.loaded.signatures["serve_bytes"](image_bytes=self.tf.constant(files))
        np.testing.assert_allclose(found["probabilities"].numpy(), expected, atol=2e-2)
        one = saved_model_folder.load(self.folder).run_file(files[1])
        np.testing.assert_allclose(one, expected[1], atol=2e-2)

    def test_files_are_fitted_as_the_metadata_states(self):
        backbone = dataclasses.replace(self.classifier.backbone, fit=metadata.PAD)
        classifier = dataclasses.replace(
            sample_classifier.classifier(fit=metadata.PAD), backbone=backbone
        )
        folder = Path(self.create_tempdir().full_path)
        saved_model.write(folder, classifier)
        loaded = saved_model_folder.load(folder)
        self.assertEqual(loaded.description.fit, metadata.PAD)
        path = sample_classifier.save(folder, self.images[0], "0.png", size=(500, 200))
        fitted = pixels.decode(path.read_bytes(), 224, 224, fit=metadata.PAD)[np.newaxis]
        expected = classifier.head.probabilities(sample_classifier.features(fitted))
        np.testing.assert_allclose(loaded.run_file(path.read_bytes()), expected[0], atol=1e-2)

    def test_undecodable_file_raises_model_error(self):
        with self.assertRaises(ModelError):
            saved_model_folder.load(self.folder).run_file(b"not an image")

    def test_labels_and_metadata_are_assets(self):
        assets = self.folder / "assets"
        self.assertEqual((assets / "labels.txt").read_text("utf-8"), "red\ngrün\nblue sky\n")
        text = (assets / "retrain_metadata.json").read_text("utf-8")
        self.assertEqual(metadata.from_json(text), self.classifier.metadata)

    def test_bgr_network_accepts_rgb(self):
        folder = Path(self.create_tempdir().full_path)
        saved_model.write(folder, sample_classifier.classifier(channel_order="BGR"))
        swapped = saved_model_folder.load(folder).run(self.images[..., ::-1])
        np.testing.assert_allclose(swapped, self.expected, atol=1e-4)


if __name__ == "__main__":
    absltest.main()
