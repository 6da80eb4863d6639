"""The files of a backbone compute the original features, or are not written."""

from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.backbones import backbone_cache, backbone_files, freeze
from retrain.backbones.backbone import BackboneInfo
from retrain.backbones.feature_parity import ConversionError
from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.litert import LiteRTModel
from tests.support import tiny_backbone
from tests.support.tiny_backbone import MEAN, SIDE, STD, WIDTH

_SHAPE = (SIDE, SIDE, 3)
_INFO = BackboneInfo(
    name="tiny",
    fingerprint="of the tiny backbone",
    height=SIDE,
    width=SIDE,
    mean=MEAN,
    std=STD,
    channel_order="RGB",
    feature_width=WIDTH,
)


class BackboneFilesTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = tiny_backbone.build_network()
        cls.pixels = np.random.default_rng(0).uniform(-1, 1, (1, *_SHAPE)).astype(np.float32)
        cls.expected = cls.model(cls.pixels).numpy()

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def features(self, pixels):
        return self.model(pixels, training=False)

    def graph_features(self):
        content = (self.folder / backbone_cache.GRAPH_FILE).read_bytes()
        with GraphSession(content) as session:
            return session.run("bottleneck:0", {"input:0": self.pixels})

    def write_graph(self, network, features):
        backbone_files.write_graph(
            freeze.GraphSlice.from_function(freeze.freeze_function(network, (None, *_SHAPE))),
            freeze.freeze_function(network, (1, *_SHAPE)),
            _INFO,
            features=features,
            folder=self.folder,
            name="--some_flag=x",
        )

    def test_a_keras_model_becomes_three_files(self):
        from tensorflow import keras

        backbone_files.write_keras(self.model, _INFO, self.folder)
        np.testing.assert_allclose(self.graph_features(), self.expected, atol=1e-5)
        model = LiteRTModel((self.folder / backbone_cache.TFLITE_FILE).read_bytes())
        np.testing.assert_allclose(model.run(self.pixels), self.expected, atol=1e-5)
        loaded = keras.models.load_model(self.folder / backbone_cache.KERAS_FILE)
        np.testing.assert_allclose(loaded(self.pixels), self.expected, atol=1e-5)

    def test_a_function_becomes_a_graph_and_a_tflite_file(self):
        self.write_graph(self.features, self.features)
        np.testing.assert_allclose(self.graph_features(), self.expected, atol=1e-5)
        self.assertEqual(
            sorted(path.name for path in self.folder.iterdir()),
            [backbone_cache.GRAPH_FILE, backbone_cache.TFLITE_FILE],
        )

    def test_without_support_in_tflite_there_is_only_a_graph(self):
        import tensorflow as tf

        def network(pixels):
            return tf.raw_ops.Digamma(x=self.features(pixels) + 10)

        self.write_graph(network, network)
        self.assertEqual([path.name for path in self.folder.iterdir()], [backbone_cache.GRAPH_FILE])

    def test_nothing_is_written_if_the_features_differ(self):
        with self.assertRaises(ConversionError):
            self.write_graph(lambda pixels: 2 * self.features(pixels), self.features)
        self.assertEmpty(list(self.folder.iterdir()))


if __name__ == "__main__":
    absltest.main()
