"""Tests that inputs, output and preprocessing of a graph are found."""

import io
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.errors import UserError
from retrain.runtimes import graph_file
from retrain.runtimes.graph_def import parse_graph
from retrain.runtimes.runtime import Description, ModelError, NetworkOverrides
from tests.support import sample_classifier
from tests.support.old_graphs import add_text

_PATH = Path("graph.pb")


def _graph(*, batch: int | None = None, metadata: dict | None = None):
    """Returns a graph whose values are the means of the channels.

    Args:
        batch: Number of images that the graph takes; None for any.
        metadata: Changes to the metadata of the sample classifier; None for no metadata.
    """
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        contents = v1.placeholder(tf.string, [], "DecodeJpeg/contents")
        decoded = tf.image.decode_png(contents, channels=3, name="DecodeJpeg")
        pixels = tf.reshape(tf.cast(decoded, tf.float32), [-1, 4, 5, 3])
        for name in ("Mul", "input"):
            pixels = v1.placeholder_with_default(pixels, [batch, 4, 5, 3], name)
        means = tf.reduce_mean(pixels, [1, 2], name="final_result")
        tf.identity(2 * means, name="twice")
        tf.constant(1.0, name="scalar")
    definition = parse_graph(graph.as_graph_def().SerializeToString())
    if metadata is not None:
        described = sample_classifier.classifier(height=4, width=5, **metadata).metadata
        add_text(definition, "retrain_metadata", described.to_json())
    return definition


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


class GraphFileTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), np.uint8)
        self.means = self.images.mean((1, 2))

    def test_a_graph_with_metadata_takes_pixels_and_files(self):
        metadata = dict(mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0), channel_order="BGR")
        runtime = graph_file.load(_PATH, _graph(metadata=metadata))
        self.assertEqual((runtime.takes_pixels, runtime.takes_files), (True, True))
        self.assertEqual(
            runtime.description, Description(sample_classifier.LABELS, 4, 5, fit="stretch")
        )
        self.assertGreater(runtime.batch_size, 1)
        expected = (self.means[:, ::-1] - [1, 2, 3]) / [4, 5, 6]
        np.testing.assert_allclose(runtime.run(self.images), expected, rtol=1e-4)
        found = runtime.run_file(_png(self.images[0]))
        np.testing.assert_allclose(found, self.means[0], rtol=1e-4)

    def test_the_output_has_the_name_in_the_metadata(self):
        runtime = graph_file.load(_PATH, _graph(metadata=dict(output="twice", std=(1.0,) * 3)))
        one, other = runtime.run(self.images), 2 * (self.means - 127)
        np.testing.assert_allclose(one, other, rtol=1e-4)

    def test_another_graph_takes_files_by_default(self):
        runtime = graph_file.load(_PATH, _graph())
        self.assertEqual((runtime.takes_pixels, runtime.takes_files), (False, True))
        self.assertEqual(runtime.description, Description())
        found = runtime.run_file(_png(self.images[0]))
        np.testing.assert_allclose(found, self.means[0], rtol=1e-4)
        with self.assertRaisesRegex(ModelError, "files, not pixels"):
            runtime.run(self.images)

    @parameterized.parameters("input", "input:0", "Mul")
    def test_the_user_can_choose_pixels(self, name: str):
        runtime = graph_file.load(_PATH, _graph(), overrides=NetworkOverrides(input_layer=name))
        self.assertEqual((runtime.takes_pixels, runtime.takes_files), (True, False))
        self.assertEqual(runtime.description, Description(None, 4, 5))
        np.testing.assert_allclose(runtime.run(self.images), self.means / 255, rtol=1e-4)
        with self.assertRaisesRegex(ModelError, "pixels, not files"):
            runtime.run_file(_png(self.images[0]))

    def test_the_user_can_choose_files_output_mean_and_std(self):
        graph = _graph(metadata={})
        overrides = NetworkOverrides(input_layer="DecodeJpeg/contents:0", output_layer="twice")
        runtime = graph_file.load(_PATH, graph, overrides=overrides)
        found = runtime.run_file(_png(self.images[0]))
        np.testing.assert_allclose(found, 2 * self.means[0], rtol=1e-4)
        runtime = graph_file.load(_PATH, graph, overrides=NetworkOverrides(mean=10, std=2))
        np.testing.assert_allclose(runtime.run(self.images), (self.means - 10) / 2, rtol=1e-4)

    def test_a_graph_for_one_image_gets_one_at_a_time(self):
        runtime = graph_file.load(
            _PATH, _graph(batch=1), overrides=NetworkOverrides(input_layer="input")
        )
        self.assertEqual(runtime.batch_size, 1)

    def test_damaged_images_are_an_error(self):
        with self.assertRaises(ModelError):
            graph_file.load(_PATH, _graph()).run_file(b"no image")

    def test_a_tensor_that_is_no_image_cannot_be_fed(self):
        runtime = graph_file.load(_PATH, _graph(), overrides=NetworkOverrides(input_layer="scalar"))
        self.assertEqual(runtime.description, Description())
        with self.assertRaises(ModelError):
            runtime.run(self.images)

    @parameterized.parameters(
        (dict(input_layer="nowhere"), "--input_layer=nowhere is not in the graph graph.pb"),
        (dict(output_layer="nowhere"), "--output_layer=nowhere is not in the graph graph.pb"),
        (dict(input_layer="DecodeJpeg"), "--input_layer=DecodeJpeg takes uint8"),
    )
    def test_unusable_tensors_are_refused(self, overrides, message):
        for metadata in (None, {}):
            with self.assertRaisesRegex(UserError, message):
                graph_file.load(
                    _PATH, _graph(metadata=metadata), overrides=NetworkOverrides(**overrides)
                )

    def test_a_graph_without_a_usual_input_needs_a_name(self):
        import tensorflow as tf

        with tf.Graph().as_default() as graph:
            tf.compat.v1.placeholder(tf.float32, [None, 3], "final_result")
        with self.assertRaisesRegex(UserError, "--input_layer is needed: .* DecodeJpeg/contents, "):
            graph_file.load(_PATH, parse_graph(graph.as_graph_def().SerializeToString()))


if __name__ == "__main__":
    absltest.main()
