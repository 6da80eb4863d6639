"""A pretrained classifier normalises its images, and shares the new layer with its head."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.training_options import ALL_LAYERS
from tests.support import tiny_backbone, tunable_backbone
from tools.keras_training import pretrained


class PretrainedTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.backbone = tunable_backbone.make(cls.folder)
        rng = np.random.default_rng(0)
        side = tiny_backbone.SIDE
        cls.pixels = rng.integers(0, 256, (4, side, side, 3)).astype(np.float32)

    @parameterized.parameters("RGB", "BGR")
    def test_classifier_is_the_head_on_the_features_of_the_network(self, channel_order: str):
        from tensorflow import keras

        backbone = dataclasses.replace(self.backbone, channel_order=channel_order)
        models = pretrained.build(backbone, 3)
        channels = self.pixels if channel_order == "RGB" else self.pixels[..., ::-1]
        normalised = (channels - np.array(backbone.mean)) / np.array(backbone.std)
        network = keras.models.load_model(backbone.keras_file)
        expected = models.head.predict(network.predict(normalised, verbose=0), verbose=0)
        actual = models.classifier.predict(self.pixels, verbose=0)
        np.testing.assert_allclose(actual, expected, atol=1e-5)
        np.testing.assert_allclose(actual.sum(axis=1), 1, atol=1e-5)

    @parameterized.parameters((0, 2), (1, 4), (ALL_LAYERS, 8))
    def test_number_of_trainable_weights(self, layers: int, weights: int):
        # A kernel and a bias for each of the new layer and the fine-tuned layers.
        models = pretrained.build(self.backbone, 3, fine_tune_layers=layers)
        self.assertLen(models.classifier.trainable_variables, weights)
        self.assertLen(models.head.trainable_variables, 2)

    @parameterized.parameters((None, 0.2), (0.0, 0.0), (0.5, 0.5))
    def test_dropout_rate(self, dropout: float | None, rate: float):
        models = pretrained.build(self.backbone, 3, dropout=dropout)
        self.assertEqual(models.classifier.get_layer("dropout").rate, rate)

    def test_network_without_keras_layers_is_refused(self):
        backbone = dataclasses.replace(self.backbone, keras_file=None)
        with self.assertRaisesRegex(UserError, "--architecture=tiny is not made of Keras layers"):
            pretrained.build(backbone, 3)


if __name__ == "__main__":
    absltest.main()
