"""The layers and the input images of a network are found in options, metadata and known graphs."""

from pathlib import Path

from absl.testing import absltest, parameterized

from retrain import metadata
from retrain.backbones import graph_layout
from retrain.backbones.graph_layout import Layout
from retrain.config import BackboneOptions
from retrain.errors import UserError
from tests.support import old_graphs

_FILE = Path("/graphs/g.pb")
_SIDE = old_graphs.SIDE
_SIZE = {"input_height": _SIDE, "input_width": _SIDE}


def _metadata(**changes) -> metadata.Metadata:
    fields = {
        "labels": ("a", "b"),
        "folders": ("a", "b"),
        "height": 20,
        "width": 30,
        "mean": (1.0, 2.0, 3.0),
        "std": (4.0, 5.0, 6.0),
        "channel_order": "BGR",
        "resize_method": "",
        "output": "final_result",
        "backbone": "b",
        "fingerprint": "f",
        "split": {},
        "test_accuracy": None,
        "training": {},
        "versions": {},
    }
    return metadata.Metadata(**{**fields, **changes})


def _exported_graph(text: str):
    """Returns the nodes of a graph that this program could have written."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, (None, 20, 30, 3), "Placeholder")
        tf.reduce_mean(pixels, [1, 2], name="bottleneck")
    result = graph.as_graph_def()
    old_graphs.add_text(result, metadata.GRAPH_NODE, text)
    return result


def _find(graph, **options) -> Layout:
    return graph_layout.find_layout(graph, BackboneOptions(model_dir=_FILE, **options), _FILE)


class FindLayoutTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.inception = old_graphs.inception()

    def test_the_graph_of_2015_is_known(self):
        self.assertEqual(
            _find(self.inception),
            Layout("Mul", "pool_3/_reshape", 299, 299, (128.0,) * 3, (128.0,) * 3, "RGB"),
        )

    def test_the_size_of_a_mobilenet_is_in_its_input_node(self):
        layer = "MobilenetV1/Predictions/Reshape"
        self.assertEqual(
            _find(old_graphs.mobilenet(48)),
            Layout("input", layer, 48, 48, (127.5,) * 3, (127.5,) * 3, "RGB"),
        )

    def test_metadata_describes_a_graph_of_this_program(self):
        self.assertEqual(
            _find(_exported_graph(_metadata().to_json())),
            Layout("Placeholder", "bottleneck", 20, 30, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "BGR"),
        )

    def test_options_override_what_is_known(self):
        layout = _find(
            self.inception,
            input_layer="ResizeBilinear:0",
            bottleneck_layer="pool_3",
            input_height=8,
            input_width=9,
            input_mean=(1.0, 2.0, 3.0),
            input_std=(4.0, 5.0, 6.0),
        )
        self.assertEqual(
            layout,
            Layout("ResizeBilinear", "pool_3", 8, 9, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "RGB"),
        )

    def test_metadata_that_cannot_be_read_is_ignored(self):
        with self.assertRaisesRegex(UserError, "--input_layer is needed"):
            _find(_exported_graph("not JSON"))

    def test_an_unknown_graph_needs_all_options(self):
        graph = self.inception.__class__()
        graph.CopyFrom(self.inception)
        for node in graph.node:
            node.name = node.name.replace("pool_3", "last")
            for number, name in enumerate(node.input):
                node.input[number] = name.replace("pool_3", "last")
        options = {}
        for flag, value in (
            ("input_layer", "Mul"),
            ("input_height", _SIDE),
            ("input_width", _SIDE),
            ("input_mean", (0.0,) * 3),
            ("input_std", (1.0,) * 3),
            ("bottleneck_layer", "last"),
        ):
            with self.assertRaisesRegex(
                UserError, f"--{flag} is needed, because the graph {_FILE}"
            ):
                _find(graph, **options)
            options[flag] = value
        self.assertEqual(_find(graph, **options).bottleneck_layer, "last")

    def test_candidates_for_a_missing_layer_are_listed(self):
        with self.assertRaisesRegex(
            UserError,
            "--bottleneck_layer=pool_4 is not in the graph .*; it has .*pool_3/_reshape.*softmax",
        ):
            _find(self.inception, bottleneck_layer="pool_4", **_SIZE)
        with self.assertRaisesRegex(
            UserError, "--input_layer=Mull is not in the graph .*; it has DecodeJpeg/contents"
        ):
            _find(self.inception, input_layer="Mull")


class VectorWidthTest(parameterized.TestCase):
    @parameterized.parameters(
        ([None, 5], 5),
        ([1, 1, 1, 6], 6),
        ([None, 2, 2, 6], None),
        ([None, None, None, 6], None),
        ([None], None),
        (None, None),
    )
    def test_only_vectors_have_a_width(self, shape, expected):
        self.assertEqual(graph_layout.vector_width(shape), expected)


class IsFineTunedTest(parameterized.TestCase):
    @parameterized.parameters(({"fine_tuned": True}, True), ({"engine": "auto"}, False))
    def test_the_metadata_decides(self, training, expected):
        graph = _exported_graph(_metadata(training=training).to_json())
        self.assertEqual(graph_layout.is_fine_tuned(graph), expected)

    def test_a_graph_without_metadata_is_not_fine_tuned(self):
        self.assertFalse(graph_layout.is_fine_tuned(old_graphs.inception()))


if __name__ == "__main__":
    absltest.main()
