"""Extracts a classifier to convert from a GraphDef."""

from pathlib import Path
from typing import Any, NamedTuple

from retrain.errors import UserError
from retrain.metadata import Metadata
from retrain.system.program.console import quiet_native_libraries
from retrain.system.text import first_line
from tools.conversion.preprocessing import InputFormat
from tools.conversion.source import GraphOptions, SourceClassifier


class Tensors(NamedTuple):
    """Names of tensors in a graph.

    Attributes:
        start: Name of the input, which has the shape of the images.
        fed: Names of the tensors to replace with float32 pixels.
        end: Name of the output, float32 [N, classes].
    """

    start: str
    fed: tuple[str, ...]
    end: str


def build(
    graph: Any,
    tensors: Tensors,
    options: GraphOptions,
    path: Path,
    *,
    metadata: Metadata | None,
    input_format: InputFormat | None,
) -> SourceClassifier:
    """Returns the part of a graph from its input to its output as a classifier.

    Args:
        graph: GraphDef. The function modifies it.
        tensors: Input and output.
        options: Size of the images, which overrides the shape of the input.
        path: Path of the graph, for error messages.
        metadata: Metadata in the file, if there is any.
        input_format: Format of the pixels, if the file describes it.

    Raises:
        UserError: If the size of the images is unknown, if the input has another number of channels
            than images have, or if the output does not depend on the input.
    """
    import tensorflow as tf
    from tensorflow.python.ops.op_selector import UnliftableError

    try:
        with quiet_native_libraries(), tf.Graph().as_default():
            (start,) = tf.import_graph_def(graph, return_elements=[tensors.start], name="")
        shape = start.shape.as_list() if start.shape.rank == 4 else [None, None, None, 3]
        height, width = options.height or shape[1], options.width or shape[2]
        if not height or not width:
            raise UserError(
                f"the graph {path} does not state the size of its input images; set --input_height "
                "and --input_width"
            )
        channels = shape[3] or 3
        if channels not in (1, 3):
            raise UserError(
                f"the input {tensors.start} of the graph {path} has the shape {shape}, but must be "
                "images, [N, height, width, 3], or [N, height, width, 1] for grey; name another "
                "tensor with --input_layer"
            )
        _remove_defaults(graph)

        def import_part(pixels: Any) -> Any:
            feeds = dict.fromkeys(tensors.fed, pixels)
            (result,) = tf.import_graph_def(graph, feeds, [tensors.end], name="")
            return result

        spec = tf.TensorSpec((None, height, width, channels), tf.float32, "pixels_to_convert")
        with quiet_native_libraries():
            wrapped = tf.compat.v1.wrap_function(import_part, [spec])
            # Removes the decoding of image files, which other formats do not support.
            scores = wrapped.prune(wrapped.inputs[0], wrapped.outputs[0])
    except (ValueError, TypeError, KeyError, UnliftableError, tf.errors.OpError) as error:
        raise UserError(
            f"the graph {path} does not lead from {tensors.start} to {tensors.end}: "
            f"{first_line(error)}; name other layers with --input_layer and --output_layer"
        ) from error
    return SourceClassifier(
        scores=scores,
        height=height,
        width=width,
        channels=channels,
        metadata=metadata,
        input_format=input_format,
    )


def _remove_defaults(graph: Any) -> None:
    """Replaces inputs with default values, which other formats do not support, by identities."""
    for node in graph.node:
        if node.op == "PlaceholderWithDefault":
            node.op = "Identity"
            node.attr["T"].CopyFrom(node.attr["dtype"])
            for name in ("dtype", "shape"):
                del node.attr[name]
