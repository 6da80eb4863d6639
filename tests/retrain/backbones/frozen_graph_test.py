"""Frozen graphs of any age become backbones with their names kept, or one line says why not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain import metadata
from retrain.backbones import engines, graph_surgery, registry
from retrain.config import BackboneOptions
from retrain.errors import UserError
from retrain.runtimes.graph_session import GraphSession, parse_graph
from tests.support import old_graphs

_SIDE, _WIDTH = old_graphs.SIDE, old_graphs.WIDTH
_SIZE = {"input_height": _SIDE, "input_width": _SIDE}
_LOADED_AGAIN = """
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
        """Returns what the graph itself gives for the images, one by one."""
        pixels = (self.images.astype(np.float32) - mean) / std
        with GraphSession(graph) as session:
            rows = [session.run(f"{end}:0", {f"{start}:0": image[None]}) for image in pixels]
        return np.concatenate([np.reshape(row, (1, -1)) for row in rows])

    def check(self, backbone, expected):
        self.assertEqual(backbone.feature_width, expected.shape[1])
        self.assertIsNone(backbone.keras_file)
        for engine in (engines.FLOAT32, engines.TENSORFLOW):
            found = engines.engine(engine, backbone).load().features(self.images)
            np.testing.assert_allclose(found, expected, atol=1e-4, err_msg=engine)

    def check_inception(self, backbone):
        self.check(backbone, self.expected(self.inception, "Mul", "pool_3/_reshape", 128, 128))
        self.assertEqual((backbone.mean, backbone.std), ((128.0,) * 3, (128.0,) * 3))
        pixels = (self.images.astype(np.float32) - 128) / 128
        with GraphSession(backbone.graph_file.read_bytes()) as session:
            fed = [session.run("bottleneck:0", {f"{n}:0": pixels}) for n in ("Mul", "input")]
            old = session.run("pool_3/_reshape:0", {"Mul:0": pixels})
        np.testing.assert_array_equal(fed[0], fed[1])
        np.testing.assert_array_equal(fed[0], old)

    def test_the_archive_of_2015(self):
        old_graphs.write(self.folder / "classify_image_graph_def.pb", self.inception)
        old_graphs.write(self.folder / "another.pb", self.mobilenet)
        self.check_inception(self.load(self.folder, **_SIZE))
        self.check_inception(self.load(self.folder, architecture="inception_v3", **_SIZE))

    def test_its_images_have_299_pixels(self):
        path = old_graphs.write(self.folder / "g.pb", old_graphs.inception(299))
        backbone = self.load(path)
        self.assertEqual((backbone.height, backbone.width), (299, 299))

    def test_a_graph_that_the_original_wrote(self):
        path = old_graphs.write(self.folder / "g.pb", old_graphs.retrained(self.inception))
        self.check_inception(self.load(path, **_SIZE))

    def test_the_originals_mobilenets(self):
        expected = self.expected(
            self.mobilenet, "input", "MobilenetV1/Predictions/Reshape", 127.5, 127.5
        )
        path = self.folder / "mobilenet_v1_0.50_224" / "frozen_graph.pb"
        old_graphs.write(path, self.mobilenet)
        self.check(self.load(path), expected)
        self.check(self.load(self.folder, architecture="mobilenet_0.50_224"), expected)

    def test_any_graph_with_layers_that_the_user_names(self):
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
        self.check(backbone, expected)

    def test_maps_of_one_value_are_vectors(self):
        path = old_graphs.write(self.folder / "g.pb", self.inception)
        expected = self.expected(self.inception, "Mul", "pool_3", 128, 128)
        self.check(self.load(path, bottleneck_layer="pool_3", **_SIZE), expected)

    def test_a_graph_that_retrain_prepared_is_prepared_from_itself(self):
        path = old_graphs.write(self.folder / "g.pb", self.inception)
        first = self.load(path, **_SIZE)
        for layer in ("Placeholder", "input", "Mul"):
            again = self.load(
                first.graph_file,
                input_layer=layer,
                bottleneck_layer="bottleneck",
                input_mean=first.mean,
                input_std=first.std,
                **_SIZE,
            )
            self.check_inception(again)

    @parameterized.parameters(
        ({"engine": "auto", "fine_tuned": True}, True),
        ({"engine": "auto"}, False),
    )
    def test_a_graph_that_retrain_wrote_says_all_of_itself(self, training, fine_tuned):
        path = old_graphs.write(self.folder / "g.pb", self.inception)
        first = self.load(path, **_SIZE)
        said = metadata.Metadata(
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
        old_graphs.add_text(graph, metadata.GRAPH_NODE, said.to_json())
        again = self.load(old_graphs.write(self.folder / "again.pb", graph))
        self.check_inception(again)
        self.assertEqual(again.fine_tuned, fine_tuned)

    def test_operations_that_tflite_lacks_leave_tensorflow(self):
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
        for engine in (engines.FLOAT32, engines.TENSORFLOW):
            found = engines.engine(engine, backbone).load().features(self.images)
            np.testing.assert_allclose(found, expected, atol=1e-4)
        engines.check(engines.AUTO, backbone)
        for name in (engines.FLOAT32, engines.INT8):
            with self.assertRaisesRegex(UserError, f"--engine={name}.*auto, bfloat16, tensorflow"):
                engines.check(name, backbone)
        with self.assertRaisesRegex(UserError, "TFLite has not all operations"):
            backbone.read_tflite()

    def test_a_kept_one_is_found_without_tensorflow(self):
        path = old_graphs.write(self.folder / "g.pb", self.mobilenet)
        self.load(path)
        found = subprocess.run(
            [sys.executable, "-c", _LOADED_AGAIN, path, self.folder / "cache"],
            capture_output=True,
            text=True,
        )
        self.assertEqual(found.stdout, "[]\n", found.stderr)


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

    def copied(self):
        graph = self.inception.__class__()
        graph.CopyFrom(self.inception)
        return graph

    def test_a_missing_layer_is_answered_with_candidates(self):
        self.refused(
            "--bottleneck_layer=pool_4 is not in the graph .*; it has .*pool_3/_reshape.*softmax",
            bottleneck_layer="pool_4",
            **_SIZE,
        )
        self.refused(
            "--input_layer=Mull is not in the graph .*; it has DecodeJpeg/contents",
            input_layer="Mull",
        )

    def test_an_unknown_graph_needs_its_layers_and_all_of_its_images(self):
        graph = self.copied()
        for node in graph.node:
            node.name = node.name.replace("pool_3", "last")
            for number, name in enumerate(node.input):
                node.input[number] = name.replace("pool_3", "last")
        path = old_graphs.write(self.folder / "unknown.pb", graph)
        options = {}
        for flag, value in (
            ("input_layer", "Mul"),
            ("input_height", _SIDE),
            ("input_width", _SIDE),
            ("input_mean", (0.0,) * 3),
            ("input_std", (1.0,) * 3),
            ("bottleneck_layer", "last"),
        ):
            self.refused(f"--{flag} is needed", path, **options)
            options[flag] = value

    def test_layers_that_do_not_belong_together(self):
        self.refused(
            "Mul does not depend on softmax", input_layer="softmax", bottleneck_layer="Mul", **_SIZE
        )
        self.refused(
            "softmax depends on DecodeJpeg/contents, too",
            **_SIZE,
            input_layer="conv/conv2d_params",
            bottleneck_layer="softmax",
        )

    def test_a_layer_of_maps(self):
        self.refused(
            r"=conv/batchnorm of the graph .*but the shape \[None, 15, 15, 16\]; .*such as pool_3",
            bottleneck_layer="conv/batchnorm",
            **_SIZE,
        )

    def test_a_size_that_it_does_not_take(self):
        self.refused("does not take images of 8 x 8|not one vector", input_height=8, input_width=8)

    def test_variables_are_told(self):
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

    @parameterized.parameters({}, {"bottleneck_layer": "misspelt"}, {"bottleneck_layer": "pool_3"})
    def test_an_operation_that_tensorflow_has_not(self, **options):
        graph = self.copied()
        (node,) = (node for node in graph.node if node.name == "conv/batchnorm")
        node.op = "OperationOfTomorrow"
        path = old_graphs.write(self.folder / "tomorrow.pb", graph)
        self.refused("can be run: .*OperationOfTomorrow", path, **options, **_SIZE)

    @parameterized.parameters({}, {"bottleneck_layer": "misspelt"}, {"bottleneck_layer": "pool_3"})
    def test_a_graph_that_lacks_a_node(self, **options):
        graph = self.copied()
        kept = [node for node in graph.node if node.name != "mixed/0_params"]
        del graph.node[:]
        graph.node.extend(kept)
        path = old_graphs.write(self.folder / "holed.pb", graph)
        self.refused("can be run: .*mixed/0_params", path, **options, **_SIZE)

    def test_features_that_are_no_numbers(self):
        import tensorflow as tf

        graph = self.copied()
        (node,) = (node for node in graph.node if node.name == "mixed/0_params")
        weights = np.full_like(tf.make_ndarray(node.attr["value"].tensor), np.nan)
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights))
        path = old_graphs.write(self.folder / "damaged.pb", graph)
        self.refused("=pool_3/_reshape of the graph .*damaged.* not finite", path, **_SIZE)

    def test_other_files_and_folders(self):
        (self.folder / "empty").mkdir()
        (self.folder / "text.pb").write_text("text")
        self.refused("cannot be read: No such file", self.folder / "none.pb")
        self.refused("has no .pb file", self.folder / "empty")
        self.refused("has several graphs, g.pb, text.pb", self.folder)
        self.refused("is not a frozen graph that can be run", self.folder / "text.pb")
        self.refused(
            "classify_image_graph_def.pb cannot be read",
            self.folder / "empty",
            architecture="inception_v3",
        )

    def test_contradicting_options(self):
        self.refused("none of --architecture=vgg16", architecture="vgg16")
        self.refused("--weights=/w.h5", weights=Path("/w.h5"))


class OptionsTest(parameterized.TestCase):
    @parameterized.parameters(
        ({"input_layer": "Mul"}, "--input_layer is for the graph that --model_dir names"),
        ({"bottleneck_layer": "x"}, "--bottleneck_layer is for the graph that --model_dir names"),
        ({"input_height": 3}, "--input_height is for networks that --model_dir or --tfhub"),
        ({"input_std": (1.0,) * 3}, "--input_std is for networks that --model_dir or --tfhub"),
    )
    def test_options_for_other_networks_are_refused(self, options, reason):
        with self.assertRaisesRegex(UserError, reason):
            registry.resolve(BackboneOptions(**options), Path("/none"))


class GraphPartsTest(absltest.TestCase):
    def test_old_operations_become_ones_that_converters_know(self):
        graph = old_graphs.inception()
        old = {"BatchNormWithGlobalNormalization", "Concat", "CheckNumerics"}
        self.assertContainsSubset(old, {node.op for node in graph.node})
        part = graph_surgery.cut(graph, "Mul", "softmax")
        graph_surgery.modernise(part)
        self.assertNoCommonElements(old, {node.op for node in part.node})
        names = {node.name for node in part.node}
        self.assertNoCommonElements(names, {"Mul", "DecodeJpeg", "DecodeJpeg/contents"})
        self.assertContainsSubset({"pool_3", "pool_3/_reshape", "softmax"}, names)
        parse_graph(part.SerializeToString())


if __name__ == "__main__":
    absltest.main()
