"""Graphs that do more than compute are refused wherever in them the operation is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import efficientnet_lite0
from retrain.model_limits import LIMITS
from retrain.runtimes import operations, saved_model_import
from retrain.runtimes.graph_check import UntrustedModelError, check_graph, check_saved_model
from retrain.runtimes.graph_def import parse_graph
from tests.support import old_graphs, tiny_modules


def _write_file(value: Any) -> Any:
    """Returns the value after writing a file."""
    import tensorflow as tf

    with tf.control_dependencies([tf.io.write_file("written", "text")]):
        return tf.identity(value)


def _nested(value: Any) -> Any:
    import tensorflow as tf

    return tf.function(lambda inner: tf.function(_write_file)(inner))(value)


def _branch(value: Any) -> Any:
    import tensorflow as tf

    return tf.cond(tf.reduce_sum(value) > 1e9, lambda: _write_file(value), lambda: value)


def _switch(value: Any) -> Any:
    import tensorflow as tf

    branches = [lambda: value, lambda: _write_file(value)]
    return tf.switch_case(tf.cast(tf.reduce_sum(value), tf.int32), branches)


def _loop(value: Any) -> Any:
    import tensorflow as tf

    return tf.while_loop(lambda x: tf.reduce_sum(x) < 0, lambda x: [_write_file(x)], [value])[0]


def _mapped(value: Any) -> Any:
    import tensorflow as tf

    return tf.map_fn(_write_file, value)


_PLACES = (_write_file, _nested, _branch, _switch, _loop, _mapped)

# The operations of all values of `--architecture` in graphs and SavedModels, and of the graphs that
# TensorFlow's own retraining scripts and tools wrote.
_NETWORKS = """
    Abs AddV2 All Any ArgMax Assert AssignVariableOp AvgPool BatchNormWithGlobalNormalization
    BiasAdd BitwiseAnd BitwiseXor Cast CheckNumerics Concat ConcatV2 Const Conv2D CropAndResize
    DecodeBmp DecodeGif DecodeJpeg DecodePng DecodeRaw DepthwiseConv2dNative Dequantize
    DisableCopyOnRead Enter Equal Erf Erfc Exit ExpandDims ExtractJpegShape FakeQuantWithMinMaxVars
    Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV3 GatherV2 Greater GreaterEqual
    Identity IdentityN Invert LRN LeftShift Less LessEqual LogicalAnd LogicalNot LogicalOr LoopCond
    MatMul Max MaxPool Maximum Mean Merge Min Minimum Mul Neg NextIteration NoOp NotEqual Pack Pad
    PadV2 PartitionedCall Placeholder PlaceholderWithDefault Prod QuantizeV2 QuantizedAvgPool
    QuantizedBiasAdd QuantizedConcat QuantizedConv2D QuantizedMatMul QuantizedMaxPool QuantizedRelu
    QuantizedRelu6 QuantizedReshape Range ReadVariableOp RealDiv ReduceJoin Relu Relu6
    RequantizationRange Requantize Reshape ResizeBilinear Reverse RightShift Rsqrt ScaleAndTranslate
    Select SelectV2 Shape Sigmoid Size Softmax Square SquaredDifference Squeeze
    StatefulPartitionedCall StatelessIf StatelessWhile StaticRegexFullMatch StopGradient
    StridedSlice StringJoin StringLength Sub Substr Sum Switch TensorArrayV3 TensorListFromTensor
    TensorListGetItem TensorListReserve TensorListSetItem TensorListStack Tile Transpose Unpack
    VarHandleOp VarIsInitializedOp Where ZerosLike
"""


def _graph(function: Callable[[Any], Any]) -> Any:
    """Returns the graph of a function of float32 [2]."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        tf.identity(function(tf.compat.v1.placeholder(tf.float32, [2])), "result")
    return graph.as_graph_def()


class CheckGraphTest(parameterized.TestCase):
    def assert_refused(self, graph: Any, reason: str) -> None:
        with self.assertRaisesRegex(UntrustedModelError, reason) as caught:
            check_graph(graph)
        self.assertNotIn("\n", str(caught.exception))
        self.assertIn("--trust_model", str(caught.exception))

    @parameterized.parameters(*_PLACES)
    def test_an_operation_is_found_in_all_functions_of_a_graph(self, function):
        import tensorflow as tf

        check_graph(_graph(tf.identity))
        self.assert_refused(_graph(function), r"WriteFile \(.*WriteFile\), which can .* files")

    @parameterized.parameters(
        ("ReadFile", "files"),
        ("MatchingFiles", "files"),
        ("RestoreV2", "files"),
        ("SaveV2", "files"),
        ("ImmutableConst", "files"),
        ("PrintV2", "files"),
        ("InitializeTableFromTextFileV2", "files"),
        ("DebugIdentityV3", "files"),
        ("TextLineDataset", "files"),
        ("IteratorGetNext", "files"),
        ("PyFuncStateless", "Python"),
        ("EagerPyFunc", "Python"),
        ("RpcCall", "network"),
        ("RandomUniform", "results differ"),
        ("StatelessRandomUniformV2", "results differ"),
        ("Abort", "not known to only compute"),
        ("XlaCallModule", "not known to only compute"),
        ("\x1b[31mOwn\nOperation", r"x1b\[31mOwn.nOperation"),
    )
    def test_the_message_says_what_an_operation_does(self, operation: str, kind: str):
        import tensorflow as tf

        graph = _graph(tf.identity)
        graph.node.add(op=operation, name="unused")
        self.assert_refused(graph, kind)

    def test_a_few_of_many_operations_are_named(self):
        import tensorflow as tf

        graph = _graph(tf.identity)
        for number in range(9):
            graph.node.add(op=f"Own{number}" + "x" * 10_000, name="n" * 10_000)
        with self.assertRaisesRegex(UntrustedModelError, "and 6 more") as caught:
            check_graph(graph)
        self.assertLess(len(str(caught.exception)), 1000)

    def test_a_function_that_has_the_name_of_an_operation_is_checked(self):
        graph = _graph(_nested)
        graph.library.function[0].signature.name = "Relu"
        self.assert_refused(graph, "WriteFile")

    def test_a_constant_cannot_state_more_values_than_any_network_has(self):
        import tensorflow as tf

        graph = _graph(tf.identity)
        constant = graph.node.add(op="Const", name="huge")
        constant.attr["value"].tensor.tensor_shape.dim.add(size=10**12)
        self.assert_refused(graph, "huge has 1,000,000,000,000 values")

    def test_networks_of_all_kinds_only_compute(self):
        check_graph(old_graphs.inception())
        check_graph(parse_graph(efficientnet_lite0.load().graph_file.read_bytes()))

    def test_no_operation_of_a_known_network_is_refused(self):
        self.assertEmpty(set(_NETWORKS.split()) - operations.PURE)

    def test_the_lists_name_operations_of_tensorflow(self):
        import tensorflow as tf
        from tensorflow.python.framework import op_def_registry

        del tf  # Importing it registers the operations.
        listed = operations.PURE | operations.RANDOM | operations.SAVING
        self.assertEmpty([name for name in listed if op_def_registry.get(name) is None])
        self.assertEmpty(operations.PURE & (operations.RANDOM | operations.SAVING))


class CheckSavedModelTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def save(self, function: Callable[[Any], Any], **attributes: Any) -> Any:
        """Saves a module with a function of float32 [2], and returns the SavedModel message."""
        import tensorflow as tf
        from tensorflow.python.saved_model.loader_impl import parse_saved_model

        module = tf.Module()
        module.weight = tf.Variable(2.0)
        spec = tf.TensorSpec([2], tf.float32)
        module.call = tf.function(lambda x: function(x * module.weight), [spec])
        for name, value in attributes.items():
            setattr(module, name, value)
        tf.saved_model.save(module, str(self.folder))
        return parse_saved_model(str(self.folder))

    def assert_refused(self, saved_model: Any, reason: str, **options: Any) -> None:
        with self.assertRaisesRegex(UntrustedModelError, reason):
            check_saved_model(saved_model, **options)

    def test_variables_are_restored(self):
        import tensorflow as tf

        check_saved_model(self.save(tf.nn.relu))
        loaded = saved_model_import.load(self.folder)
        np.testing.assert_array_equal(loaded.call(tf.constant([-1.0, 3])), [0, 6])

    @parameterized.parameters(*_PLACES)
    def test_an_operation_is_found_in_all_functions(self, function):
        self.save(function)
        with mock.patch("tensorflow.saved_model.load") as load:
            with self.assertRaisesRegex(UntrustedModelError, "WriteFile"):
                saved_model_import.load(self.folder)
            load.assert_not_called()
            saved_model_import.load(self.folder, trust_model=True)
            load.assert_called_once()

    def test_an_operation_is_found_in_the_graph_itself(self):
        import tensorflow as tf

        saved_model = self.save(tf.identity)
        saved_model.meta_graphs[0].graph_def.node.add(op="WriteFile", name="main_op")
        self.assert_refused(saved_model, "WriteFile")

    def test_a_table_that_is_made_from_a_file_is_refused(self):
        import tensorflow as tf

        file = self.folder / "words.txt"
        file.write_text("one\n")
        index = tf.lookup.TextFileIndex
        initializer = tf.lookup.TextFileInitializer(
            str(file), tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER
        )
        table = tf.lookup.StaticHashTable(initializer, -1)
        self.assert_refused(self.save(tf.identity, table=table), "Table")

    def test_functions_that_save_can_only_be_called_by_the_saver(self):
        import tensorflow as tf

        saved_model = self.save(tf.identity)
        (graph,) = saved_model.meta_graphs
        names = [function.signature.name for function in graph.graph_def.library.function]
        saver = next(name for name in names if "traced_save" in name)
        caller = next(name for name in names if "traced" not in name)

        def changed(change: Callable[[Any], None]) -> Any:
            copy = type(saved_model)()
            copy.CopyFrom(saved_model)
            change(copy.meta_graphs[0])
            return copy

        def call(meta_graph: Any, *, attribute: str = "f") -> None:
            function = next(
                function
                for function in meta_graph.graph_def.library.function
                if function.signature.name == caller
            )
            node = function.node_def.add(op="StatefulPartitionedCall", name="call")
            target = node.attr["f"].func
            if attribute != "f":
                target.name = caller
                target = target.attr[attribute].list.func.add()
            target.name = saver

        def offer(meta_graph: Any) -> None:
            node = meta_graph.object_graph_def.nodes.add()
            node.bare_concrete_function.concrete_function_name = saver

        def replace(meta_graph: Any) -> None:
            for function in meta_graph.graph_def.library.function:
                function.attr["api_implements"].s = b"same"

        check_saved_model(changed(lambda graph: None))
        self.assert_refused(changed(call), "SaveV2|ShardedFilename|MergeV2")
        nested = lambda graph: call(graph, attribute="nested")  # noqa: E731
        self.assert_refused(changed(nested), "SaveV2|ShardedFilename|MergeV2")
        self.assert_refused(changed(offer), "SaveV2|ShardedFilename|MergeV2")
        self.assert_refused(changed(replace), "SaveV2|ShardedFilename|MergeV2|RestoreV2")

    def test_random_operations_are_accepted_if_nobody_calls_their_functions(
        self,
    ):
        import tensorflow as tf

        saved_model = self.save(lambda x: x + tf.random.uniform([2]))
        self.assert_refused(saved_model, "RandomUniform .*results differ")
        check_saved_model(saved_model, allow_random=True)

    def test_the_format_of_tensorflow_1_is_refused(self):
        import tensorflow as tf

        v1 = tf.compat.v1
        with tf.Graph().as_default(), v1.Session() as session:
            pixels = v1.placeholder(tf.float32, [2])
            v1.saved_model.simple_save(
                session, str(self.folder / "v1"), {"x": pixels}, {"y": tf.identity(pixels)}
            )
        with self.assertRaisesRegex(UntrustedModelError, "format of TensorFlow 1"):
            saved_model_import.load(self.folder / "v1")

    def test_a_module_of_hub_only_computes(self):
        saved_model_import.load(tiny_modules.write(self.folder / "module", (8, 8)))


class LimitsTest(absltest.TestCase):
    def test_a_network_of_many_layers_is_far_below_the_limit_of_constants(self):
        # The largest layer of VGG16 has 102,760,448 weights.
        self.assertGreater(LIMITS.constant_values, 4 * 102_760_448)


if __name__ == "__main__":
    absltest.main()
