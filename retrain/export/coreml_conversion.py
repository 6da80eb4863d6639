"""A network in TensorFlow to a network in Core ML, by coremltools, which works on every system."""

import contextlib
import dataclasses
import io
import logging
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from retrain.errors import UserError
from retrain.export import coreml_rounding
from retrain.export.coreml_options import CLASS_LABEL
from retrain.system.console import quiet_native_libraries
from retrain.system.text import first_line

RGB = "RGB"
BGR = "BGR"
GRAYSCALE = "GRAYSCALE"
COLOURS = (RGB, BGR, GRAYSCALE)

# No network has a part of this name, so that it can be renamed to what the user wants.
_SCORES = "scores_of_all_classes"
_UNKNOWN_OPERATION = re.compile(r"Conversion for TF op '([^']+)' not implemented")


@dataclasses.dataclass(frozen=True)
class Network:
    """A classifier of images, with all that Core ML is to know of it.

    Attributes:
        scores: a function of a tensor, float32 [1, height, width, channels], normalised, to
            float32 [1, classes]; TensorFlow traces it.
        labels: the classes, in the order of the scores.
        height: of the images, in pixels.
        width: of the images, in pixels.
        colours: one of COLOURS, the order of the channels; GRAYSCALE has one.
        mean: of each channel, in units of 0 to 255, in their order; subtracted first.
        std: of each channel; what is divided by then.
    """

    scores: Callable[[Any], Any]
    labels: tuple[str, ...]
    height: int
    width: int
    colours: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Converted:
    """A network in Core ML's terms.

    Attributes:
        spec: a `Model`, https://apple.github.io/coremltools/mlmodel/Format/Model.html
        weights_dir: of an ML Program, which has its weights in a file of their own; else None.
    """

    spec: Any
    weights_dir: str | None

    def save(self, path: Path) -> None:
        """Writes it to an existing folder, an ML Program, or to a file, a neural network."""
        if self.weights_dir is None:
            path.write_bytes(self.spec.SerializeToString())
            return
        ct = load_coremltools()
        model = ct.models.MLModel(self.spec, weights_dir=self.weights_dir, skip_model_load=True)
        # coremltools insists on that ending, and deletes what is there.
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            package = Path(folder, "model.mlpackage")
            model.save(str(package))
            shutil.copytree(package, path, dirs_exist_ok=True)


def convert(
    network: Network, program: bool, half: bool, input_name: str, probabilities_name: str
) -> Converted:
    """Returns the network as a classifier whose input is an image.

    Its outputs are `classLabel` and a dictionary from labels to scores.

    Args:
        network: what to convert.
        program: whether to make an ML Program (iOS 15, macOS 12 and later) rather than a neural
            network (iOS 13, macOS 10.15 and later).
        half: whether to store numbers in 16 bits, with which an ML Program calculates, too.
        input_name: of the image.
        probabilities_name: of the dictionary.

    Raises:
        UserError: Core ML has no such classifier, or coremltools is not installed.
    """
    _check_labels(network.labels)
    ct = load_coremltools()
    with _quiet():
        frozen = _frozen(network, input_name)
        _check_output(frozen.outputs[0].shape, network.labels)
        model = _converted(ct, frozen, network, program, half)
        if half and not program:
            quantization = ct.models.neural_network.quantization_utils
            model = quantization.quantize_weights(model, nbits=16, selector=_LargeWeights())
        spec = model.get_spec()
        for name in (_SCORES, f"{CLASS_LABEL}_probs"):
            ct.utils.rename_feature(spec, name, probabilities_name, rename_inputs=not program)
        return Converted(spec, model.weights_dir if program else None)


class _LargeWeights:
    """Tells coremltools to leave biases in 32 bits, which are few and matter."""

    def do_quantize(self, layer: Any, weight_param: str | None = None) -> bool:
        return layer.WhichOneof("layer") in ("convolution", "innerProduct") and not weight_param


def load_coremltools() -> Any:
    """Imports coremltools, without what it says of the packages around it, and returns it.

    Raises:
        UserError: it is not installed.
    """
    try:
        with _quiet():
            import coremltools
    except ImportError as error:
        raise UserError(
            f"Core ML files need the package coremltools, which cannot be loaded here ({error}); "
            "write them on Linux or macOS"
        ) from error
    return coremltools


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back versions it was not tested with, the missing Core ML runtime, progress bars."""
    # It would otherwise set the log level of TensorFlow for the whole process.
    os.environ.setdefault("TF_SUPPRESS_LOGS", "0")
    logging.getLogger("coremltools").setLevel(logging.CRITICAL)
    nowhere = io.StringIO()
    with (
        quiet_native_libraries(),
        contextlib.redirect_stderr(nowhere),
        contextlib.redirect_stdout(nowhere),
    ):
        yield


def _check_labels(labels: tuple[str, ...]) -> None:
    repeated = [label for label, count in Counter(labels).items() if count > 1]
    if repeated:
        raise UserError(
            f"the label {repeated[0]!r} occurs more than once, but Core ML finds the probability "
            "of a class by its label; give each another one"
        )


def _check_output(shape: Any, labels: tuple[str, ...]) -> None:
    # What TensorFlow does not know beforehand, only the network's answers can tell.
    if shape.rank is None:
        return
    if shape.rank != 2:
        raise UserError(
            f"the network is not a classifier: for an image it has an output of shape {shape}, "
            "not one score for each label"
        )
    if shape[-1] not in (None, len(labels)):
        raise UserError(
            f"the network has {shape[-1]} outputs, but there are {len(labels)} labels; "
            "give one label for each output, in their order"
        )


def _frozen(network: Network, input_name: str) -> Any:
    """Returns a function of one image that has no variables and calls no other function."""
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    # Core ML multiplies an image with one number, whatever the channel; others are ours to do.
    scales = None if _one_scale(network) else 1 / np.array(network.std, np.float32)

    def scores(image: Any) -> Any:
        with tf.name_scope("network"):
            return network.scores(image if scales is None else image * scales)

    shape = (1, network.height, network.width, len(network.mean))
    traced = tf.function(scores, autograph=False).get_concrete_function(
        tf.TensorSpec(shape, tf.float32, input_name)
    )
    freeze = convert_to_constants.convert_variables_to_constants_v2
    frozen = freeze(traced)
    if frozen.graph.as_graph_def().library.function:
        frozen = freeze(_inlinable(frozen), aggressive_inlining=True)
    return _with_named_output(frozen)


def _inlinable(function: Any) -> Any:
    """Returns the function without the marks that keep the functions it calls apart for XLA."""
    graph = function.graph.as_graph_def()
    for part in (*graph.node, *graph.library.function):
        for name in [name for name in part.attr if "Xla" in name]:
            del part.attr[name]
    return _imported(graph, function.inputs[0].name, function.outputs[0].name)


def _with_named_output(function: Any) -> Any:
    graph = function.graph.as_graph_def()
    output = graph.node.add(op="Identity", name=_SCORES, input=[function.outputs[0].name])
    output.attr["T"].type = function.outputs[0].dtype.as_datatype_enum
    return _imported(graph, function.inputs[0].name, f"{_SCORES}:0")


def _imported(graph: Any, start: str, end: str) -> Any:
    import tensorflow as tf

    imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    return imported.prune(start, end)


def _one_scale(network: Network) -> bool:
    return len(set(network.std)) == 1


def _converted(ct: Any, frozen: Any, network: Network, program: bool, half: bool) -> Any:
    scale = 1 / network.std[0] if _one_scale(network) else 1.0
    bias = [-mean * scale for mean in network.mean]
    image = ct.ImageType(
        name=frozen.inputs[0].op.name,
        shape=tuple(frozen.inputs[0].shape),
        scale=scale,
        bias=bias[0] if network.colours == GRAYSCALE else bias,
        color_layout=getattr(ct.colorlayout, network.colours),
    )
    precision = ct.precision.FLOAT16 if half else ct.precision.FLOAT32
    try:
        return ct.convert(
            [frozen],
            source="tensorflow",
            inputs=[image],
            outputs=[ct.TensorType(name=_SCORES)],
            classifier_config=ct.ClassifierConfig(
                list(network.labels), predicted_feature_name=CLASS_LABEL
            ),
            convert_to="mlprogram" if program else "neuralnetwork",
            compute_precision=precision if program else None,
            pass_pipeline=coreml_rounding.pipeline(ct) if half else ct.PassPipeline.DEFAULT,
            skip_model_load=True,
        )
    # A converter meets what the network's author thought of, and has errors of every type for it.
    except Exception as error:
        unknown = _UNKNOWN_OPERATION.search(str(error))
        reason = f"there is none for TensorFlow's {unknown[1]}" if unknown else first_line(error)
        raise UserError(
            f"the network cannot be expressed in Core ML's operations: {reason}; "
            "leave the Core ML file out, or use another network"
        ) from error
