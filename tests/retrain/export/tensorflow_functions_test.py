"""Tests that the TensorFlow functions of a classifier decode and classify as it does."""

from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.export import tensorflow_functions
from retrain.runtimes.preprocessing import normalise
from tests.support import sample_classifier


class BuildTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.classifier = sample_classifier.classifier()
        cls.functions = tensorflow_functions.build(cls.classifier)
        cls.images = sample_classifier.images(3)
        metadata = cls.classifier.metadata
        cls.pixels = normalise(cls.images, metadata.mean, metadata.std)

    def test_classify_matches_head(self):
        import tensorflow as tf

        features = sample_classifier.features(self.images)
        expected = self.classifier.head.probabilities(features)
        found = self.functions.classify(tf.constant(self.pixels))
        np.testing.assert_allclose(found, expected, atol=1e-4)

    def test_decode_returns_normalised_pixels(self):
        import tensorflow as tf

        folder = Path(self.create_tempdir().full_path)
        file = sample_classifier.save(folder, self.images[0], "0.png")
        decoded = self.functions.decode(tf.constant(file.read_bytes()))
        np.testing.assert_allclose(decoded, self.pixels[:1], atol=1e-6)

    def test_classify_contains_no_decoder(self):
        import tensorflow as tf

        spec = tf.TensorSpec((None, 224, 224, 3), tf.float32)
        traced = tf.function(self.functions.classify).get_concrete_function(spec)
        graph = traced.graph.as_graph_def()
        operations = {node.op for function in graph.library.function for node in function.node_def}
        operations |= {node.op for node in graph.node}
        self.assertIn("DepthwiseConv2dNative", operations)
        self.assertNoCommonElements(operations, {"DecodeJpeg", "DecodeImage", "Switch", "Merge"})


if __name__ == "__main__":
    absltest.main()
