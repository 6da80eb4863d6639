"""Keras models of all versions are loaded, and errors are one line."""

import json
import zipfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.export import keras_file
from tests.support import sample_classifier, small_keras
from tools.conversion import load_keras
from tools.conversion.preprocessing import InputFormat


class LoadKerasTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.model = small_keras.build_model()

    def assert_loaded(self, source):
        pixels = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
        np.testing.assert_allclose(source.scores(pixels), self.model(pixels), atol=1e-6)
        self.assertEqual((source.height, source.width, source.channels), (16, 16, 3))
        self.assertIsNotNone(source.keras_model)

    def refused(self, reason, path, weights=None):
        with self.assertRaisesRegex(UserError, reason) as caught:
            load_keras.load(path, weights)
        self.assertNotIn("\n", str(caught.exception))

    @parameterized.parameters("model.keras", "model.h5")
    def test_a_whole_model_is_loaded(self, name):
        path = self.folder / name
        self.model.save(path)
        self.assert_loaded(load_keras.load(path, None))

    def test_damaged_weights_are_refused(self):
        path, weights = small_keras.write_keras_2(self.folder, self.model)
        whole = weights.read_bytes()
        refused = 0
        for position in range(0, len(whole), len(whole) // 60):
            weights.write_bytes(whole[:position] + b"\xff" * 8 + whole[position + 8 :])
            # Some damage changes only numbers.
            try:
                load_keras.load(path, weights)
            except UserError as error:
                self.assertNotIn("\n", str(error))
                refused += 1
        self.assertGreater(refused, 3)

    def test_weights_in_another_file_are_refused(self):
        import h5py

        path, weights = small_keras.write_keras_2(self.folder, self.model)
        with h5py.File(weights, "a") as file:
            file["link"] = h5py.ExternalLink(str(self.folder / "other.h5"), "/")
        self.refused("link refers to data somewhere else", path, weights)

    def test_two_files_of_keras_2_are_loaded(self):
        self.assert_loaded(load_keras.load(*small_keras.write_keras_2(self.folder, self.model)))

    def test_two_files_of_keras_3_are_loaded(self):
        path, weights = self.folder / "model.json", self.folder / "model.weights.h5"
        path.write_text(self.model.to_json())
        self.model.save_weights(weights)
        self.assert_loaded(load_keras.load(path, weights))

    def test_a_lambda_layer_is_not_run(self):
        from tensorflow import keras

        path = self.folder / "model.keras"
        keras.Sequential(
            [keras.Input((8, 8, 3)), keras.layers.Lambda(lambda x: x - 127), self.model.layers[2]]
        ).save(path)
        self.refused("Lambda layer.*--is_bgr", path)

    @parameterized.parameters("model.keras", "model.h5")
    def test_a_file_that_is_not_a_model_is_refused(self, name):
        path = self.folder / name
        path.write_bytes(b"no model")
        self.refused("Keras 3.* cannot read --graph=.*saved_model", path)

    def test_a_layer_that_no_longer_exists_is_refused(self):
        path, weights = small_keras.write_keras_2(self.folder, self.model)
        description = json.loads(path.read_text())
        description["config"][1]["class_name"] = "MaxoutDense"
        path.write_text(json.dumps(description))
        self.refused(f"Keras 3.* cannot read --graph={path}: .*tf.saved_model", path, weights)

    def test_a_file_without_weights_is_refused(self):
        path, weights = small_keras.write_keras_2(self.folder, self.model)
        for content, expected in ((b"nothing", "not an HDF5 file"), (None, "does not exist")):
            if content is None:
                weights.unlink()
            else:
                weights.write_bytes(content)
            self.refused(f"--weights=.*{expected}", path, weights)

    def test_weights_of_another_model_are_refused(self):
        path, weights = self.folder / "model.json", self.folder / "model.weights.h5"
        path.write_text(self.model.to_json())
        small_keras.build_model(channels=1).save_weights(weights)
        self.refused(f"--weights={weights} does not fit {path}: ", path, weights)

    def test_weights_are_needed_for_a_json_file_only(self):
        path, weights = small_keras.write_keras_2(self.folder, self.model)
        self.refused("--weights is needed", path)
        self.refused("needs a model.json", self.folder / "model.keras", weights)

    @parameterized.parameters("no json", "[1, 2]", '{"a": 1}')
    def test_a_json_file_without_model_is_refused(self, text):
        path = self.folder / "model.json"
        path.write_text(text)
        self.refused("--graph=.* is not", path, self.folder / "weights.h5")

    def test_a_model_for_other_inputs_is_refused(self):
        from tensorflow import keras

        path = self.folder / "model.keras"
        keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)]).save(path)
        self.refused("must be images", path)

    def test_a_model_for_any_size_is_refused(self):
        from tensorflow import keras

        path = self.folder / "model.keras"
        pooling = keras.layers.GlobalAveragePooling2D()
        keras.Sequential([keras.Input((None, None, 3)), pooling]).save(path)
        self.refused("accepts images of any size", path)

    def test_a_file_of_retrain_describes_itself(self):
        classifier = sample_classifier.classifier()
        path = self.folder / "model.keras"
        keras_file.write(path, classifier)
        source = load_keras.load(path, None)
        self.assertEqual(source.metadata, classifier.metadata)
        self.assertEqual(source.input_format, InputFormat("RGB", (0.0,) * 3, (1.0,) * 3))
        images = sample_classifier.images(2)
        expected = classifier.head.probabilities(sample_classifier.features(images))
        scores = source.scores(images.astype(np.float32))
        np.testing.assert_allclose(scores, expected, atol=1e-4)

    def test_damaged_metadata_are_refused(self):
        path = self.folder / "model.keras"
        self.model.save(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("retrain_metadata.json", "{")
        self.refused("--graph=.* cannot be converted: its metadata cannot be read", path)


if __name__ == "__main__":
    absltest.main()
