"""Frozen graphs of any age become backbones that keep their node names, or a one-line error."""

from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from retrain import metadata
from retrain.backbones import backbone_cache, efficientnet_lite0, engines, registry
from retrain.config import BackboneOptions
from retrain.errors import UserError
from retrain.runtimes.graph_check import UntrustedModelError
from retrain.runtimes.graph_def import parse_graph
from retrain.runtimes.graph_session import GraphSession
from tests.support import old_graphs, sample_classifier
from tests.support.python_code import run_python

_SIDE = old_graphs.SIDE
_SIZE = {"input_height": _SIDE, "input_width": _SIDE}
_LOAD_FROM_CACHE = """
import sys
from pathlib import Path
from retrain.backbones import registry
from retrain.config import BackboneOptions

registry.resolve(BackboneOptions(model_dir=Path(sys.argv[1])), Path(sys.argv[2]))
print([name for name in ("tensorflow", "keras") if name in sys.modules])
"""


class FrozenGraphTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.inception = old_graphs.inception()
        cls.mobilenet = old_graphs.mobilenet()
        cls.images = np.random.default_rng(0).integers(0, 256, (3, _SIDE, _SIDE, 3), np.uint8)

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def load(self, path, **options):
        return registry.resolve(BackboneOptions(model_dir=path, **options), self.folder / "cache")

    def expected(self, graph, start, end, mean, std):
        """Returns the features that the original graph computes for the images, one by one."""
        pixels = (self.images.astype(np.float32) - mean) / std
        with GraphSession(graph) as session:
            rows = [session.run(f"{end}:0", {f"{start}:0": image[None]}) for image in pixels]
        return np.concatenate([np.reshape(row, (1, -1)) for row in rows])

    def assert_features(self, backbone, expected):
        self.assertEqual(backbone.feature_width, expected.shape[1])
        self.assertIsNone(backbone.keras_file)
        for engine in (engines.FLOAT32, engines.TENSORFLOW):
            actual = engines.create(engine, backbone).load().run(self.images)
            np.testing.assert_allclose(actual, expected, atol=1e-4, err_msg=engine)

    def assert_inception(self, backbone):
        self.assert_features(
            backbone, self.expected(self.inception, "Mul", "pool_3/_reshape", 128, 128)
        )
        self.assertEqual((backbone.mean, backbone.std), ((128.0,) * 3, (128.0,) * 3))
        pixels = (self.images.astype(np.float32) - 128) / 128
        with GraphSession(backbone.graph_file.read_bytes()) as session:
            features = [session.run("bottleneck:0", {f"{n}:0": pixels}) for n in ("Mul", "input")]
            original_output = session.run("pool_3/_reshape:0", {"Mul:0": pixels})
        np.testing.assert_array_equal(features[0], features[1])
        np.testing.assert_array_equal(features[0], original_output)

    def test_the_inception_graph_is_found_in_its_folder(self):
        old_graphs.write(self.folder / "classify_image_graph_def.pb", self.inception)
        old_graphs.write(self.folder / "another.pb", self.mobilenet)
        self.assert_inception(self.load(self.folder, **_SIZE))
        self.assert_inception(self.load(self.folder, architecture="inception_v3", **_SIZE))

    def test_images_of_the_inception_graph_have_299_pixels(self):
        path = old_graphs.write(self.folder / "g.pb", old_graphs.inception(299))
        backbone = self.load(path)
        self.assertEqual((backbone.height, backbone.width), (299, 299))

    def test_a_graph_that_the_original_retrained(self):
        path = old_graphs.write(self.folder / "g.pb", old_graphs.retrained(self.inception))
        self.assert_inception(self.load(path, **_SIZE))

    def test_a_mobilenet_is_found_in_its_folder(self):
        expected = self.expected(
            self.mobilenet, "input", "MobilenetV1/Predictions/Reshape", 127.5, 127.5
        )
        path = self.folder / "mobilenet_v1_0.50_224" / "frozen_graph.pb"
        old_graphs.write(path, self.mobilenet)
        self.assert_features(self.load(path), expected)
        self.assert_features(self.load(self.folder, architecture="mobilenet_0.50_224"), expected)

    def test_options_name_layers_and_normalisation(self):
        path = old_graphs.write(self.folder / "g.pb", self.inception)
        backbone = self.load(
            path,
            input_layer="Mul:0",
            bottleneck_layer="softmax/logits/MatMul",
            input_mean=(1.0, 2.0, 3.0),
            input_std=(4.0, 5.0, 6.0),
            **_SIZE,
        )
        mean, std = np.array([1, 2, 3], np.float32), np.array([4, 5, 6], np.float32)
        expected = self.expected(self.inception, "Mul", "softmax/logits/MatMul", mean, std)
        self.assert_features(backbone, expected)

    def test_a_layer_of_maps_with_one_value_is_flattened(self):
        path = old_graphs.write(self.folder / "g.pb", self.inception)
        expected = self.expected(self.inception, "Mul", "pool_3", 128, 128)
        self.assert_features(self.load(path, bottleneck_layer="pool_3", **_SIZE), expected)

    def test_a_prepared_graph_can_be_prepared_again(self):
        path = old_graphs.write(self.folder / "g.pb", self.inception)
        first = self.load(path, **_SIZE)
        for layer in ("Placeholder", "input", "Mul"):
            second = self.load(
                first.graph_file,
                input_layer=layer,
                bottleneck_layer="bottleneck",
                input_mean=first.mean,
                input_std=first.std,
                **_SIZE,
            )
            self.assert_inception(second)

    @parameterized.parameters(
        ({"engine": "auto", "fine_tuned": True}, True),
        ({"engine": "auto"}, False),
    )
    def test_the_metadata_of_an_exported_graph_is_used(self, training, fine_tuned):
        path = old_graphs.write(self.folder / "g.pb", self.inception)
        first = self.load(path, **_SIZE)
        described = metadata.Metadata(
            labels=("a", "b"),
            folders=("a", "b"),
            **{name: getattr(first, name) for name in ("height", "width", "mean", "std")},
            channel_order="RGB",
            resize_method="",
            output="final_result",
            backbone=first.name,
            fingerprint=first.fingerprint,
            split={},
            test_accuracy=None,
            training=training,
            versions={},
        )
        graph = parse_graph(first.graph_file.read_bytes())
        old_graphs.add_text(graph, metadata.GRAPH_NODE, described.to_json())
        second = self.load(old_graphs.write(self.folder / "again.pb", graph))
        self.assert_inception(second)
        self.assertEqual(second.fine_tuned, fine_tuned)
        self.assertEqual(second.fit, "stretch")

    def test_images_are_fitted_as_for_the_run_that_made_the_graph(self):
        path = old_graphs.write(self.folder / "g.pb", self.inception)
        self.assertEqual(self.load(path, **_SIZE).fit, "stretch")
        first = self.load(path, fit="pad", **_SIZE)
        self.assertEqual(first.fit, "pad")
        described = sample_classifier.classifier(
            fit="crop", height=first.height, width=first.width, mean=first.mean, std=first.std
        ).metadata
        graph = parse_graph(first.graph_file.read_bytes())
        old_graphs.add_text(graph, metadata.GRAPH_NODE, described.to_json())
        cropped = old_graphs.write(self.folder / "cropped.pb", graph)
        self.assertEqual(self.load(cropped).fit, "crop")
        self.assertEqual(self.load(cropped, fit="crop").fit, "crop")
        with self.assertRaisesRegex(
            UserError, r"\A--fit=pad contradicts --model_dir=.*cropped.pb, .* with --fit=crop; .*\Z"
        ):
            self.load(cropped, fit="pad")

    def test_a_network_that_tflite_does_not_support_is_run_by_tensorflow(self):
        import tensorflow as tf

        graph = self.inception.__class__()
        graph.CopyFrom(self.mobilenet)
        with tf.Graph().as_default() as extended:
            tf.import_graph_def(graph, name="")
            vector = extended.get_tensor_by_name("MobilenetV1/Predictions/Reshape:0")
            tf.raw_ops.Digamma(x=vector + 10.0, name="odd")
        path = old_graphs.write(self.folder / "g.pb", extended.as_graph_def())
        backbone = self.load(path, bottleneck_layer="odd")
        self.assertIsNone(backbone.tflite_file)
        expected = self.expected(extended.as_graph_def(), "input", "odd", 127.5, 127.5)
        self.assert_features(backbone, expected)
        engines.check(engines.AUTO, backbone)
        for name in (engines.FLOAT32, engines.INT8):
            with self.assertRaisesRegex(UserError, f"--engine={name}.*auto, bfloat16, tensorflow"):
                engines.check(name, backbone)
        with self.assertRaisesRegex(UserError, "TFLite does not support all operations"):
            backbone.read_tflite()

    @parameterized.parameters(
        ({}, "688617b4686cf7f9"),
        (
            {
                "input_layer": "a",
                "bottleneck_layer": "b",
                "input_height": 3,
                "input_width": 4,
                "input_mean": (1.0, 2.0, 3.0),
                "input_std": (4.0, 5.0, 6.0),
            },
            "1aae1dbe03709b8f",
        ),
    )
    def test_backbones_that_an_earlier_version_prepared_are_found(self, options, expected):
        path = self.folder / "known.pb"
        path.write_bytes(b"known content")
        with mock.patch.object(backbone_cache, "load_or_prepare") as load_or_prepare:
            load_or_prepare.return_value = efficientnet_lite0.load()
            self.load(path, **options)
        _, name, digest, _ = load_or_prepare.call_args.args
        self.assertEqual((name, digest[:16]), ("known", expected))

    def test_a_graph_that_writes_a_file_is_run_only_if_it_is_trusted(self):
        written = self.folder / "written"
        graph = type(self.mobilenet)()
        graph.CopyFrom(self.mobilenet)
        for name, text in (("name", str(written)), ("text", "evil")):
            constant = graph.node.add(op="Const", name=name)
            constant.attr["dtype"].type = 7
            constant.attr["value"].tensor.dtype = 7
            constant.attr["value"].tensor.tensor_shape.SetInParent()
            constant.attr["value"].tensor.string_val.append(text.encode())
        graph.node.add(op="WriteFile", name="write", input=["name", "text"])
        next(node for node in graph.node if node.op == "Relu6").input.append("^write")
        path = old_graphs.write(self.folder / "g.pb", graph)
        with self.assertRaisesRegex(UserError, f"--model_dir={path} is not run: .*WriteFile"):
            self.load(path)
        self.assertFalse(written.exists())
        backbone = self.load(path, trust_model=True)
        self.assertTrue(written.exists())
        written.unlink()
        # What is in the cache now is not run without the flag either.
        with self.assertRaisesRegex(UserError, f"the network {path} is not run"):
            self.load(path)
        with self.assertRaises(UntrustedModelError):
            GraphSession(backbone.graph_file.read_bytes())
        self.assertFalse(written.exists())
        engines.create(engines.TENSORFLOW, backbone).load().run(self.images)
        self.assertTrue(written.exists())

    def test_loading_from_the_cache_does_not_import_tensorflow(self):
        path = old_graphs.write(self.folder / "g.pb", self.mobilenet)
        self.load(path)
        done = run_python(_LOAD_FROM_CACHE, path, self.folder / "cache")
        self.assertEqual(done.stdout, "[]\n", done.stderr)


class BadGraphTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.inception = old_graphs.inception()

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.path = old_graphs.write(self.folder / "g.pb", self.inception)

    def refused(self, reason, path=None, **options):
        with self.assertRaisesRegex(UserError, reason) as caught:
            registry.resolve(
                BackboneOptions(model_dir=path or self.path, **options), self.folder / "cache"
            )
        self.assertNotIn("\n", str(caught.exception))
        self.assertEmpty(list(self.folder.glob("cache/backbones/*")))

    def copy_graph(self):
        graph = self.inception.__class__()
        graph.CopyFrom(self.inception)
        return graph

    def test_a_missing_layer_is_answered_with_candidates(self):
        self.refused(
            "--bottleneck_layer=pool_4 is not in the graph .*; it has .*pool_3/_reshape.*softmax",
            bottleneck_layer="pool_4",
            **_SIZE,
        )

    def test_layers_that_do_not_depend_on_each_other_are_refused(self):
        self.refused(
            "Mul does not depend on softmax", input_layer="softmax", bottleneck_layer="Mul", **_SIZE
        )
        self.refused(
            "softmax also depends on DecodeJpeg/contents",
            **_SIZE,
            input_layer="conv/conv2d_params",
            bottleneck_layer="softmax",
        )

    def test_a_layer_of_maps_is_refused(self):
        self.refused(
            r"=conv/batchnorm of the graph .*its shape is \[None, 15, 15, 16\]; .*such as pool_3",
            bottleneck_layer="conv/batchnorm",
            **_SIZE,
        )

    def test_a_size_that_does_not_fit_is_refused(self):
        self.refused("does not accept images of 8 x 8", input_height=8, input_width=8)

    def test_a_graph_with_variables_is_refused(self):
        import tensorflow as tf

        v1 = tf.compat.v1
        with tf.Graph().as_default() as graph:
            pixels = v1.placeholder(tf.float32, (None, 8, 8, 3), "input")
            weight = v1.get_variable("w", (192, 4), use_resource=False)
            tf.matmul(tf.reshape(pixels, (-1, 192)), weight, name="out")
        path = old_graphs.write(self.folder / "v.pb", graph.as_graph_def())
        self.refused(
            "w is a variable",
            path,
            bottleneck_layer="out",
            input_layer="input",
            input_mean=(0.0,) * 3,
            input_std=(1.0,) * 3,
        )

    def test_random_features_are_refused(self):
        import tensorflow as tf

        with tf.Graph().as_default() as graph:
            pixels = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 3), "input")
            tf.add(tf.reduce_mean(pixels, [1, 2]), tf.random.uniform([3]), name="out")
        path = old_graphs.write(self.folder / "random.pb", graph.as_graph_def())
        layers = {"bottleneck_layer": "out", "input_layer": "input"}
        normalisation = {"input_mean": (0.0,) * 3, "input_std": (1.0,) * 3}
        self.refused("RandomUniform .*results differ", path, **layers, **normalisation)

    @parameterized.parameters({}, {"bottleneck_layer": "misspelt"}, {"bottleneck_layer": "pool_3"})
    def test_an_unknown_operation_is_refused(self, **options):
        graph = self.copy_graph()
        (node,) = (node for node in graph.node if node.name == "conv/batchnorm")
        node.op = "OperationOfTomorrow"
        path = old_graphs.write(self.folder / "tomorrow.pb", graph)
        self.refused("OperationOfTomorrow .*not known to only compute", path, **options, **_SIZE)
        self.refused(
            "TensorFlow can run: .*OperationOfTomorrow", path, trust_model=True, **options, **_SIZE
        )

    @parameterized.parameters({}, {"bottleneck_layer": "misspelt"}, {"bottleneck_layer": "pool_3"})
    def test_a_graph_with_a_missing_node_is_refused(self, **options):
        graph = self.copy_graph()
        kept = [node for node in graph.node if node.name != "mixed/0_params"]
        del graph.node[:]
        graph.node.extend(kept)
        path = old_graphs.write(self.folder / "holed.pb", graph)
        self.refused("TensorFlow can run: .*mixed/0_params", path, **options, **_SIZE)

    def test_features_that_are_not_finite_are_refused(self):
        import tensorflow as tf

        graph = self.copy_graph()
        (node,) = (node for node in graph.node if node.name == "mixed/0_params")
        weights = np.full_like(tf.make_ndarray(node.attr["value"].tensor), np.nan)
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights))
        path = old_graphs.write(self.folder / "damaged.pb", graph)
        self.refused("=pool_3/_reshape of the graph .*damaged.* not finite", path, **_SIZE)

    def test_paths_without_a_single_graph_are_refused(self):
        (self.folder / "empty").mkdir()
        (self.folder / "text.pb").write_text("text")
        self.refused("cannot be read: No such file", self.folder / "none.pb")
        self.refused("contains no .pb file", self.folder / "empty")
        self.refused("contains several graphs, g.pb, text.pb; name one", self.folder)
        self.refused("is not a frozen graph that TensorFlow can run", self.folder / "text.pb")
        self.refused(
            "classify_image_graph_def.pb cannot be read",
            self.folder / "empty",
            architecture="inception_v3",
        )


if __name__ == "__main__":
    absltest.main()
