"""A SavedModel is what TensorFlow Serving loads, and answers as the head does."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain import metadata
from retrain.data import pixels
from retrain.export import saved_model
from retrain.export.answers import UndecodedError
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

    def test_the_signatures_are_those_that_the_readme_names(self):
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

    def test_the_tags_and_the_method_are_those_that_serving_looks_for(self):
        from tensorflow.core.protobuf import saved_model_pb2

        saved = saved_model_pb2.SavedModel.FromString((self.folder / "saved_model.pb").read_bytes())
        (graph,) = saved.meta_graphs
        self.assertEqual(list(graph.meta_info_def.tags), ["serve"])
        signature = graph.signature_def["serving_default"]
        self.assertEqual(signature.method_name, "tensorflow/serving/predict")

    def test_pixels_give_the_answer_of_the_head(self):
        answers = saved_model.load(self.folder)
        np.testing.assert_allclose(answers.from_pixels(self.images), self.expected, atol=1e-4)

    def test_a_batch_of_files_of_any_kind_and_size_gives_their_answers(self):
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
        one = saved_model.load(self.folder).from_file(files[1])
        np.testing.assert_allclose(one, expected[1], atol=2e-2)

    def test_what_is_no_image_is_told_from_a_defect(self):
        with self.assertRaises(UndecodedError):
            saved_model.load(self.folder).from_file(b"no image")

    def test_labels_and_metadata_are_assets(self):
        assets = self.folder / "assets"
        self.assertEqual((assets / "labels.txt").read_text("utf-8"), "red\ngrün\nblue sky\n")
        text = (assets / "retrain_metadata.json").read_text("utf-8")
        self.assertEqual(metadata.from_json(text), self.classifier.metadata)

    def test_a_network_for_another_order_of_channels_takes_rgb_too(self):
        folder = Path(self.create_tempdir().full_path)
        saved_model.write(folder, sample_classifier.classifier(channel_order="BGR"))
        swapped = saved_model.load(folder).from_pixels(self.images[..., ::-1])
        np.testing.assert_allclose(swapped, self.expected, atol=1e-4)


if __name__ == "__main__":
    absltest.main()
