"""Tests that SavedModels of retrain and of other programs are loaded, or refused in one line."""

from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.errors import UserError
from retrain.export import saved_model
from tests.support import sample_classifier, small_keras
from tools.conversion import load_saved_model
from tools.conversion.preprocessing import InputFormat
from tools.conversion.source import GraphOptions


class LoadSavedModelTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.model = small_keras.build_model()

    def save(self, function, **signatures):
        import tensorflow as tf

        module = tf.Module()
        module.model = self.model
        module.function = function
        signatures = signatures or {"serving_default": function}
        tf.saved_model.save(module, str(self.folder), signatures)

    def function(self, body, dtype="float32", *, channels=3):
        import tensorflow as tf

        return tf.function(body, [tf.TensorSpec((None, 16, 16, channels), dtype, "image")])

    def load(self, **options):
        return load_saved_model.load(self.folder, GraphOptions(**options))

    def assert_scores(self, source, pixels, expected):
        import tensorflow as tf

        self.assertEqual((source.height, source.width, source.channels), (16, 16, 3))
        scores = source.scores(tf.constant(pixels, tf.float32))
        np.testing.assert_allclose(scores, expected, atol=1e-6)

    def refused(self, reason, **options):
        with self.assertRaisesRegex(UserError, reason) as caught:
            self.load(**options)
        self.assertNotIn("\n", str(caught.exception))

    def pixels(self):
        return np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)

    def test_an_input_in_float32_needs_its_normalisation_from_the_user(self):
        self.save(self.function(lambda image: {"y": self.model(image)}))
        source = self.load()
        self.assert_scores(source, self.pixels(), self.model(self.pixels()))
        self.assertIsNone(source.input_format)

    def test_an_input_in_uint8_is_not_normalised(self):
        import tensorflow as tf

        self.save(self.function(lambda image: self.model(tf.cast(image, "float32") / 255), "uint8"))
        source = self.load()
        images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.float32)
        self.assert_scores(source, images, self.model(images / 255))
        self.assertEqual(source.input_format, InputFormat("RGB", (0.0,) * 3, (1.0,) * 3))

    def test_grey_images_in_uint8_are_not_normalised(self):
        import tensorflow as tf

        self.model = small_keras.build_model(1)

        def scores(image):
            return self.model(tf.cast(image, "float32") / 255)

        self.save(self.function(scores, "uint8", channels=1))
        source = self.load()
        self.assertEqual(source.channels, 1)
        self.assertEqual(source.input_format, InputFormat("GRAYSCALE", (0.0,), (1.0,)))

    def test_one_of_several_outputs_must_be_named(self):
        self.save(self.function(lambda image: {"y": self.model(image), "z": image}))
        self.refused("outputs y, z.*--output_layer")
        self.refused("outputs y, z.*--output_layer", output_layer="x")
        source = self.load(output_layer="y")
        self.assert_scores(source, self.pixels(), self.model(self.pixels()))

    def test_an_output_named_probabilities_is_preferred(self):
        self.save(
            self.function(
                lambda image: {"a": image, "probabilities": self.model(image), "z": image}
            )
        )
        self.assert_scores(self.load(), self.pixels(), self.model(self.pixels()))

    def add_layers(self, *layers):
        """Builds a model that has other layers in front of the model."""
        from tensorflow import keras

        pixels = keras.Input((16, 16, 3))
        self.augmented = keras.Model(pixels, self.model(keras.Sequential(layers)(pixels)))

    def export_for_training(self):
        from tensorflow import keras

        archive = keras.export.ExportArchive()
        archive.track(self.augmented)
        archive.add_endpoint(
            "serve",
            lambda pixels: self.augmented(pixels, training=True),
            [keras.InputSpec(shape=(None, 16, 16, 3), dtype="float32")],
        )
        archive.write_out(str(self.folder), verbose=False)

    def test_layers_that_change_images_at_random_are_left_out(self):
        from tensorflow.keras import layers

        self.add_layers(
            layers.RandomFlip(),
            layers.RandomRotation(0.2),
            layers.RandomZoom(0.2),
            layers.RandomTranslation(0.2, 0.2),
            layers.RandomContrast(0.5),
            layers.RandomBrightness(0.5, value_range=(-1, 1)),
            layers.GaussianNoise(0.3),
            layers.Dropout(0.3),
        )
        # Keras saves some of these layers as in training, and all of them write their seeds.
        self.augmented.export(str(self.folder), verbose=False)
        with self.assertLogs(level="INFO") as logged:
            source = self.load()
        self.assertRegex(logged.output[0], "only training needs: random_flip.*, random_rotation")
        self.assert_scores(source, self.pixels(), self.model(self.pixels()))

    def test_dropout_of_a_signature_for_training_is_left_out(self):
        from tensorflow.keras import layers

        self.add_layers(layers.Dropout(0.5), layers.GaussianNoise(0.5))
        self.export_for_training()
        self.assert_scores(self.load(), self.pixels(), self.model(self.pixels()))

    def test_batch_normalisation_uses_its_moving_averages(self):
        from tensorflow.keras import layers

        normalisation = layers.BatchNormalization()
        # Keras exports the layers after a random one as in training.
        self.add_layers(layers.RandomFlip(), normalisation)
        rng = np.random.default_rng(0)
        normalisation.set_weights([rng.uniform(0.5, 2, 3) for _ in range(4)])
        self.augmented.export(str(self.folder), verbose=False)
        expected = self.augmented(self.pixels(), training=False)
        self.assert_scores(self.load(), self.pixels(), expected)

    def test_a_signature_that_trains_weights_is_refused(self):
        import tensorflow as tf

        self.model.bias = tf.Variable([0.0, 0.0, 0.0])

        def scores(image):
            logits = self.model(image) + self.model.bias
            self.model.bias.assign_sub(tf.reduce_mean(logits, 0))
            return {"y": tf.nn.softmax(logits)}

        self.save(self.function(scores))
        self.refused("are those of training.*Assign.*training=False")

    def test_a_random_layer_with_weights_is_refused(self):
        import tensorflow as tf

        noise = tf.Variable(tf.ones((16, 16, 3)))
        self.model.noise = noise

        @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 3), name="image")])
        def scores(image):
            with tf.name_scope("noisy"):
                changed = image + noise * tf.random.uniform((16, 16, 3))
            return {"y": self.model(changed)}

        self.save(scores)
        self.refused("depend on RandomUniform.*training=False")

    def test_writes_that_the_scores_do_not_need_are_left_out(self):
        import tensorflow as tf

        self.model.calls = tf.Variable(0)

        def scores(image):
            self.model.calls.assign_add(1)
            return {"y": self.model(image)}

        self.save(self.function(scores))
        self.assert_scores(self.load(), self.pixels(), self.model(self.pixels()))

    def test_another_type_of_input_is_refused(self):
        import tensorflow as tf

        self.save(self.function(lambda image: self.model(tf.cast(image, "float32")), "int32"))
        self.refused("is int32 instead of pixels")

    def test_a_signature_with_another_name_is_refused(self):
        self.save(None, other=self.function(lambda image: self.model(image)))
        self.refused("signatures are: other")

    def test_a_folder_without_saved_model_is_refused(self):
        self.refused("not a SavedModel")

    def test_a_saved_model_of_retrain_describes_itself(self):
        import tensorflow as tf

        classifier = sample_classifier.classifier()
        saved_model.write(self.folder, classifier)
        source = self.load()
        self.assertEqual(source.metadata, classifier.metadata)
        self.assertEqual(source.input_format, InputFormat("RGB", (0.0,) * 3, (1.0,) * 3))
        images = sample_classifier.images(2)
        expected = classifier.head.probabilities(sample_classifier.features(images))
        scores = source.scores(tf.constant(images, tf.float32))
        np.testing.assert_allclose(scores, expected, atol=1e-4)

    def test_damaged_metadata_is_refused(self):
        saved_model.write(self.folder, sample_classifier.classifier())
        (self.folder / "assets" / "retrain_metadata.json").write_text("{")
        self.refused("cannot be converted: its metadata cannot be read")


if __name__ == "__main__":
    absltest.main()
