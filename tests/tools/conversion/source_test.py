"""Classifiers are loaded from files of all kinds, and what cannot be is said in one line."""

import json
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.export import keras_file, saved_model
from tests.support import sample_classifier, small_keras
from tools.conversion import load_graph, load_keras
from tools.conversion.source import Choices, Pixels


class LoadTestCase(parameterized.TestCase):
    def setUp(self):
        import tensorflow as tf

        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.model = small_keras.build_model()
        rng = np.random.default_rng(0)
        images = rng.uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
        self.images = tf.constant(images)

    def assert_loaded(self, source):
        np.testing.assert_allclose(source.scores(self.images), self.model(self.images), atol=1e-6)
        self.assertEqual((source.height, source.width, source.channels), (16, 16, 3))

    def assert_one_line(self, error):
        self.assertNotIn("\n", str(error))


class FrozenGraphTest(LoadTestCase):
    def load(self, path, **choices):
        return load_graph.load_frozen(path, Choices(**choices))

    def test_usual_names(self):
        path = small_keras.write_frozen_graph(self.folder / "g.pb", self.model)
        source = self.load(path)
        self.assert_loaded(source)
        self.assertIsNone(source.metadata)
        self.assertIsNone(source.pixels)

    def test_other_names(self):
        path = small_keras.write_frozen_graph(self.folder / "g.pb", self.model, start="x", end="y")
        self.assert_loaded(self.load(path, output_layer="y"))
        self.assert_loaded(self.load(path, input_layer="x:0", output_layer="y:0"))

    def test_layers_that_are_not_there(self):
        path = small_keras.write_frozen_graph(self.folder / "g.pb", self.model)
        for flag in ("input_layer", "output_layer"):
            with self.assertRaisesRegex(UserError, f"--{flag}=nowhere:0 is not in the graph"):
                self.load(path, **{flag: "nowhere"})

    def test_an_output_that_nobody_names(self):
        path = small_keras.write_frozen_graph(self.folder / "g.pb", self.model, end="y")
        with self.assertRaisesRegex(UserError, "--output_layer is needed"):
            self.load(path)

    def test_no_graph(self):
        path = self.folder / "g.pb"
        for content in (b"", b"no graph at all", bytes(range(256))):
            path.write_bytes(content)
            with self.assertRaisesRegex(UserError, "not a frozen graph") as caught:
                self.load(path)
            self.assert_one_line(caught.exception)
            for kind in (".pb", "SavedModel", ".keras"):
                self.assertIn(kind, str(caught.exception))


class SavedModelTest(LoadTestCase):
    def save(self, function, **signatures):
        import tensorflow as tf

        module = tf.Module()
        module.model = self.model
        module.function = function
        tf.saved_model.save(module, str(self.folder), signatures or {"serving_default": function})
        return self.folder

    def function(self, body, dtype="float32"):
        import tensorflow as tf

        spec = tf.TensorSpec((None, 16, 16, 3), dtype, "picture")
        return tf.function(body, [spec])

    def test_pixels_in_float32(self):
        path = self.save(self.function(lambda image: {"y": self.model(image)}))
        source = load_graph.load_saved_model(path, Choices())
        self.assert_loaded(source)
        self.assertIsNone(source.pixels)

    def test_pixels_in_uint8_are_taken_as_they_are(self):
        import tensorflow as tf

        path = self.save(
            self.function(lambda image: self.model(tf.cast(image, "float32") / 255), "uint8")
        )
        source = load_graph.load_saved_model(path, Choices())
        images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.float32)
        expected = self.model(images / 255)
        scores = source.scores(tf.constant(images))
        np.testing.assert_allclose(scores, expected, atol=1e-6)
        self.assertEqual((source.pixels.mean, source.pixels.std), ((0,) * 3, (1,) * 3))

    def test_several_outputs(self):
        function = self.function(lambda image: {"y": self.model(image), "z": image})
        path = self.save(function)
        with self.assertRaisesRegex(UserError, "outputs y, z.*--output_layer"):
            load_graph.load_saved_model(path, Choices())
        self.assert_loaded(load_graph.load_saved_model(path, Choices(output_layer="y")))

    def test_another_signature(self):
        path = self.save(None, other=self.function(lambda image: self.model(image)))
        with self.assertRaisesRegex(UserError, "signatures are: other"):
            load_graph.load_saved_model(path, Choices())

    def test_no_saved_model(self):
        with self.assertRaisesRegex(UserError, "not a SavedModel") as caught:
            load_graph.load_saved_model(self.folder, Choices())
        self.assert_one_line(caught.exception)


class KerasTest(LoadTestCase):
    @parameterized.parameters("model.keras", "model.h5")
    def test_whole_models(self, name):
        path = self.folder / name
        self.model.save(path)
        source = load_keras.load(path, None)
        self.assert_loaded(source)
        self.assertIsNotNone(source.keras)

    def test_two_files_of_keras_2(self):
        self.assert_loaded(load_keras.load(*small_keras.write_keras_2(self.folder, self.model)))

    def test_two_files_of_keras_3(self):
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
        with self.assertRaisesRegex(UserError, "Lambda layer.*--is_bgr"):
            load_keras.load(path, None)

    @parameterized.parameters("model.keras", "model.h5")
    def test_no_model(self, name):
        path = self.folder / name
        path.write_bytes(b"no model")
        with self.assertRaisesRegex(UserError, "cannot be read by Keras 3.*saved_model") as caught:
            load_keras.load(path, None)
        self.assert_one_line(caught.exception)

    def test_a_layer_that_today_is_none(self):
        path, weights = small_keras.write_keras_2(self.folder, self.model)
        description = json.loads(path.read_text())
        description["config"][1]["class_name"] = "MaxoutDense"
        path.write_text(json.dumps(description))
        with self.assertRaisesRegex(
            UserError, "cannot be read by Keras 3.*tf.saved_model"
        ) as found:
            load_keras.load(path, weights)
        self.assert_one_line(found.exception)

    def test_weights_of_something_else(self):
        path, weights = small_keras.write_keras_2(self.folder, self.model)
        for content, expected in ((b"nothing", "not an HDF5 file"), (None, "does not exist")):
            if content is None:
                weights.unlink()
            else:
                weights.write_bytes(content)
            with self.assertRaisesRegex(UserError, f"--weights=.*{expected}"):
                load_keras.load(path, weights)

    def test_weights_that_are_missing_or_too_many(self):
        path, weights = small_keras.write_keras_2(self.folder, self.model)
        with self.assertRaisesRegex(UserError, "--weights is needed"):
            load_keras.load(path, None)
        with self.assertRaisesRegex(UserError, "with a model.json only"):
            load_keras.load(self.folder / "model.keras", weights)

    @parameterized.parameters("no json", "[1, 2]", '{"a": 1}')
    def test_no_description(self, text):
        path = self.folder / "model.json"
        path.write_text(text)
        with self.assertRaisesRegex(UserError, "--graph=.* is not"):
            load_keras.load(path, self.folder / "weights.h5")

    def test_no_images(self):
        from tensorflow import keras

        path = self.folder / "model.keras"
        keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)]).save(path)
        with self.assertRaisesRegex(UserError, "not images"):
            load_keras.load(path, None)


class OwnTest(absltest.TestCase):
    """What retrain writes describes itself, and takes pixels as they are."""

    def assert_loaded(self, source, classifier):
        import tensorflow as tf

        self.assertEqual(source.metadata, classifier.metadata)
        self.assertEqual(source.pixels, Pixels("RGB", (0.0,) * 3, (1.0,) * 3))
        images = sample_classifier.images(2)
        expected = classifier.head.probabilities(sample_classifier.features(images))
        scores = source.scores(tf.constant(images, tf.float32))
        np.testing.assert_allclose(scores, expected, atol=1e-4)

    def test_keras_file(self):
        classifier = sample_classifier.classifier()
        path = Path(self.create_tempdir().full_path) / "model.keras"
        keras_file.write(path, classifier)
        self.assert_loaded(load_keras.load(path, None), classifier)

    def test_saved_model(self):
        classifier = sample_classifier.classifier()
        folder = Path(self.create_tempdir().full_path)
        saved_model.write(folder, classifier)
        self.assert_loaded(load_graph.load_saved_model(folder, Choices()), classifier)


if __name__ == "__main__":
    absltest.main()
