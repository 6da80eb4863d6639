"""Tests that frozen graphs are loaded, whatever names they use, or refused in one line."""

from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.errors import UserError
from retrain.export import frozen_graph
from tests.support import sample_classifier, small_keras
from tools.conversion import load_frozen_graph
from tools.conversion.preprocessing import InputFormat
from tools.conversion.source import GraphOptions


class LoadFrozenGraphTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.path = self.folder / "g.pb"
        self.model = small_keras.build_model()

    def load(self, **options):
        return load_frozen_graph.load(self.path, GraphOptions(**options))

    def assert_loaded(self, source):
        import tensorflow as tf

        pixels = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
        scores = source.scores(tf.constant(pixels))
        np.testing.assert_allclose(scores, self.model(pixels), atol=1e-6)
        self.assertEqual((source.height, source.width, source.channels), (16, 16, 3))

    def refused(self, reason, **options):
        with self.assertRaisesRegex(UserError, reason) as caught:
            self.load(**options)
        self.assertNotIn("\n", str(caught.exception))

    def test_usual_names_are_found(self):
        small_keras.write_frozen_graph(self.path, self.model)
        source = self.load()
        self.assert_loaded(source)
        self.assertIsNone(source.metadata)
        self.assertIsNone(source.input_format)

    def test_a_single_placeholder_is_the_input(self):
        small_keras.write_frozen_graph(self.path, self.model, start="x", end="y")
        self.assert_loaded(self.load(output_layer="y"))
        self.assert_loaded(self.load(input_layer="x:0", output_layer="y:0"))

    def test_a_single_softmax_is_the_output(self):
        import tensorflow as tf

        with tf.Graph().as_default() as graph:
            pixels = tf.compat.v1.placeholder(tf.float32, (None, 4, 5, 3), "input")
            tf.nn.softmax(tf.reduce_mean(pixels, [1, 2]), name="unusual")
        self.path.write_bytes(graph.as_graph_def().SerializeToString())
        source = self.load()
        values = np.random.default_rng(0).uniform(size=(2, 4, 5, 3)).astype(np.float32)
        sums = source.scores(tf.constant(values)).numpy().sum(1)
        np.testing.assert_allclose(sums, [1, 1], atol=1e-6)
        self.assertEqual((source.height, source.width), (4, 5))

    def test_layers_that_do_not_exist_are_refused(self):
        small_keras.write_frozen_graph(self.path, self.model)
        for flag in ("input_layer", "output_layer"):
            self.refused(f"--{flag}=nowhere:0 is not in the graph", **{flag: "nowhere"})

    def test_an_unusual_output_must_be_named(self):
        small_keras.write_frozen_graph(self.path, self.model, end="y")
        self.refused("--output_layer is needed, because")

    def test_an_input_of_any_size_needs_a_size(self):
        import tensorflow as tf

        with tf.Graph().as_default() as graph:
            pixels = tf.compat.v1.placeholder(tf.float32, (None, None, None, 3), "input")
            tf.reduce_mean(pixels, [1, 2], name="final_result")
        self.path.write_bytes(graph.as_graph_def().SerializeToString())
        self.refused("does not state the size .* set --input_height and --input_width", height=4)
        source = self.load(height=4, width=6)
        self.assertEqual((source.height, source.width), (4, 6))

    def test_an_input_without_the_channels_of_an_image_is_refused(self):
        import tensorflow as tf

        with tf.Graph().as_default() as graph:
            pixels = tf.compat.v1.placeholder(tf.float32, (None, 3, 16, 16), "input")
            tf.reduce_mean(pixels, [2, 3], name="final_result")
        self.path.write_bytes(graph.as_graph_def().SerializeToString())
        self.refused(r"input:0 .* has the shape \[None, 3, 16, 16\], .*--input_layer")

    def test_very_large_images_are_refused(self):
        import tensorflow as tf

        with tf.Graph().as_default() as graph:
            pixels = tf.compat.v1.placeholder(tf.float32, (None, 20_000, 4, 3), "input")
            tf.reduce_mean(pixels, [1, 2], name="final_result")
        self.path.write_bytes(graph.as_graph_def().SerializeToString())
        self.refused("it takes images of 20,000 x 4 pixels, more than the limit")

    def test_an_operation_that_writes_a_file_is_refused(self):
        import tensorflow as tf

        with tf.Graph().as_default() as graph:
            pixels = tf.compat.v1.placeholder(tf.float32, (None, 4, 4, 3), "input")
            with tf.control_dependencies([tf.io.write_file("written", "text")]):
                tf.reduce_mean(pixels, [1, 2], name="final_result")
        self.path.write_bytes(graph.as_graph_def().SerializeToString())
        self.refused("is not run: .*WriteFile")

    def test_an_output_that_does_not_depend_on_the_input_is_refused(self):
        import tensorflow as tf

        with tf.Graph().as_default() as graph:
            tf.compat.v1.placeholder(tf.float32, (None, 4, 4, 3), "input")
            tf.compat.v1.placeholder(tf.float32, (None, 2), "final_result")
        self.path.write_bytes(graph.as_graph_def().SerializeToString())
        self.refused("does not lead from input:0 to final_result:0")

    def test_a_file_that_is_not_a_graph_is_refused_with_the_known_formats(self):
        for content in (b"", b"no graph at all", bytes(range(256))):
            self.path.write_bytes(content)
            for known_format in (".pb", "SavedModel", ".keras"):
                self.refused(f"not a frozen graph.*{known_format}")

    def test_a_graph_of_retrain_describes_itself(self):
        import tensorflow as tf

        classifier = sample_classifier.classifier()
        self.path.write_bytes(frozen_graph.to_bytes(classifier))
        source = self.load()
        metadata = classifier.metadata
        self.assertEqual(source.metadata, metadata)
        self.assertEqual(source.input_format, InputFormat("RGB", metadata.mean, metadata.std))
        images = sample_classifier.images(2)
        expected = classifier.head.probabilities(sample_classifier.features(images))
        pixels = (images.astype(np.float32) - metadata.mean) / metadata.std
        scores = source.scores(tf.constant(pixels, tf.float32))
        np.testing.assert_allclose(scores, expected, atol=1e-4)


if __name__ == "__main__":
    absltest.main()
