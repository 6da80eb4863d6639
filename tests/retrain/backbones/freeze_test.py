"""Frozen graphs have the documented tensors, and other TensorFlow programs can load them."""

import io

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.backbones import freeze
from retrain.runtimes.graph_session import GraphSession
from tests.support import tiny_backbone
from tests.support.tiny_backbone import MEAN, SIDE, STD, WIDTH

_PIXELS_INPUTS = ("Mul:0", "input:0", "Placeholder:0")


class ToGraphTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = tiny_backbone.build_network()
        rng = np.random.default_rng(0)
        cls.image = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)

    def session(self, **options):
        graph = freeze.to_graph(self.model, MEAN, STD, **options)
        return self.enter_context(GraphSession(graph.SerializeToString()))

    def expected(self, image):
        pixels = (image.astype(np.float32) - MEAN) / STD
        return self.model(pixels[np.newaxis].astype(np.float32)).numpy()

    def test_the_tensors_have_the_documented_shapes(self):
        session = self.session()
        for name in _PIXELS_INPUTS:
            self.assertEqual(
                session.shape_and_dtype(name), ((None, SIDE, SIDE, 3), "float32"), name
            )
        self.assertEqual(session.shape_and_dtype("DecodeJpeg/contents:0"), ((), "string"))
        self.assertEqual(session.shape_and_dtype("DecodeJpeg:0"), ((None, None, 3), "uint8"))
        self.assertEqual(session.shape_and_dtype("bottleneck:0"), ((None, WIDTH), "float32"))

    def test_pixels_can_be_fed_under_each_name(self):
        pixels = np.random.default_rng(0).uniform(-1, 1, (3, SIDE, SIDE, 3)).astype(np.float32)
        session, expected = self.session(), self.model(pixels).numpy()
        for name in _PIXELS_INPUTS:
            actual = session.run("bottleneck:0", {name: pixels})
            np.testing.assert_allclose(actual, expected, atol=1e-5, err_msg=name)

    @parameterized.parameters("RGB", "BGR")
    def test_an_image_is_normalised_in_the_channel_order_of_the_network(self, order):
        session = self.session(channel_order=order)
        expected = self.expected(self.image[..., ::-1] if order == "BGR" else self.image)
        actual = session.run("bottleneck:0", {"DecodeJpeg:0": self.image})
        np.testing.assert_allclose(actual, expected, atol=1e-5)

    def test_an_image_file_is_decoded(self):
        file = io.BytesIO()
        Image.fromarray(self.image).save(file, "PNG")
        actual = self.session().run("bottleneck:0", {"DecodeJpeg/contents:0": file.getvalue()})
        np.testing.assert_allclose(actual, self.expected(self.image), atol=1e-5)

    def test_attributes_with_default_values_are_left_out(self):
        graph = freeze.to_graph(self.model, MEAN, STD)
        (node,) = (
            node for node in graph.node if node.op == "GlobalAveragePool" or node.op == "Mean"
        )
        self.assertNotIn("keep_dims", node.attr)

    def test_custom_gradients_are_left_out(self):
        import tensorflow as tf

        pixels = tf.keras.Input((8, 8, 3))
        model = tf.keras.Model(
            pixels, tf.keras.layers.GlobalAveragePooling2D()(tf.keras.activations.silu(pixels))
        )
        graph = freeze.to_graph(model, (0.0,) * 3, (1.0,) * 3)
        self.assertNotIn("_gradient_op_type", {name for n in graph.node for name in n.attr})


class FreezeFunctionTest(absltest.TestCase):
    def test_variables_become_constants(self):
        import tensorflow as tf

        variable = tf.Variable(2.0)
        function = freeze.freeze_function(lambda x: variable * x, (None, 2))
        variable.assign(100.0)
        self.assertEmpty(function.variables)
        np.testing.assert_array_equal(function(tf.constant([[1.0, 3.0]]))[0], [[2.0, 6.0]])


class AddPreprocessingTest(absltest.TestCase):
    def test_a_network_without_scope_keeps_its_names(self):
        import tensorflow as tf

        with tf.Graph().as_default() as graph:
            pixels = tf.compat.v1.placeholder(tf.float32, (None, 4, 4, 3), "pixels")
            tf.reduce_mean(pixels, [1, 2], name="features")
        network = freeze.GraphSlice(
            graph.as_graph_def(), "pixels:0", "features:0", scope="", extra_input="their_input"
        )
        spec = freeze.InputSpec(4, 4, (0.0,) * 3, (1.0,) * 3, "RGB")
        result = freeze.add_preprocessing(network, spec).SerializeToString()
        images = np.random.default_rng(0).uniform(size=(2, 4, 4, 3)).astype(np.float32)
        with GraphSession(result) as session:
            for name in ("their_input:0", "input:0"):
                for output in ("bottleneck:0", "features:0"):
                    actual = session.run(output, {name: images})
                    np.testing.assert_allclose(actual, images.mean((1, 2)), atol=1e-6)


if __name__ == "__main__":
    absltest.main()
