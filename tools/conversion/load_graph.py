"""Frozen graphs and SavedModels, loaded as classifiers to convert."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from retrain.errors import UserError
from retrain.metadata import (
    METADATA_FILE,
    OUTPUT,
    PIXELS_SIGNATURE,
    Metadata,
    MetadataError,
    from_json,
)
from retrain.runtimes.graph_def import find_metadata, parse_graph
from retrain.runtimes.runtime import ModelError
from retrain.system.console import quiet_native_libraries
from retrain.system.text import first_line
from tools.conversion.source import KINDS, Choices, Pixels, Source, pixels_of, plain_pixels

# What the original's graphs and ours call them.
_USUAL_INPUTS = ("input", "Mul", "Placeholder")
_USUAL_OUTPUT = "final_result"


def load_frozen(path: Path, choices: Choices) -> Source:
    """Returns the classifier in a file with a GraphDef.

    Raises:
        UserError: there is none, or no such input or output.
    """
    try:
        graph = parse_graph(path.read_bytes())
        metadata = find_metadata(graph)
    except (ModelError, MetadataError) as error:
        raise UserError(f"--graph={path} is not a frozen graph: {error}; give {KINDS}") from error
    nodes = {node.name: node for node in graph.node}
    start = _tensor(choices.input_layer or _input(nodes, metadata, path))
    end = _tensor(choices.output_layer or _output(nodes, metadata, path))
    for flag, name in (("input_layer", start), ("output_layer", end)):
        if name.split(":")[0] not in nodes:
            raise UserError(f"--{flag}={name} is not in the graph {path}; name one of its nodes")
    pixels = pixels_of(metadata) if metadata else None
    return _source(path, graph, [start], start, end, choices, metadata, pixels)


def load_saved_model(path: Path, choices: Choices) -> Source:
    """Returns the classifier in the folder of a SavedModel.

    Raises:
        UserError: there is none that takes pixels.
    """
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    try:
        with quiet_native_libraries():
            loaded = tf.saved_model.load(str(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        reason = first_line(error)
        raise UserError(f"--graph={path} is not a SavedModel that can be read: {reason}") from error
    if PIXELS_SIGNATURE not in loaded.signatures:
        known = ", ".join(loaded.signatures) or "none"
        raise UserError(
            f"--graph={path} needs a signature {PIXELS_SIGNATURE}, but its signatures are: "
            f"{known}; save it with one"
        )
    signature = loaded.signatures[PIXELS_SIGNATURE]
    with quiet_native_libraries():
        frozen = convert_to_constants.convert_variables_to_constants_v2(signature)
    # The outputs of the function are in this order, too.
    every = sorted(signature.structured_outputs)
    names = every
    if OUTPUT in names:
        names = [OUTPUT]
    if choices.output_layer:
        names = [choices.output_layer]
    if len(names) != 1 or names[0] not in every or len(frozen.inputs) != 1:
        raise UserError(
            f"--graph={path} is no classifier of one input and one output: it has "
            f"{len(frozen.inputs)} inputs and the outputs {', '.join(every)}"
            "; --output_layer chooses an output"
        )
    outputs = dict(zip(every, frozen.outputs, strict=True))
    graph = frozen.graph.as_graph_def()
    metadata = _in_assets(path)
    start = frozen.inputs[0].name
    fed = [start]
    if frozen.inputs[0].dtype == tf.uint8:
        fed = list(_casts(graph, start.split(":")[0]))
    if not fed or frozen.inputs[0].dtype not in (tf.uint8, tf.float32):
        raise UserError(
            f"--graph={path} takes {frozen.inputs[0].dtype.name}, not pixels in float32 or uint8; "
            "save it with a signature that takes them"
        )
    knows_pixels = metadata is not None or fed != [start]
    pixels = plain_pixels(3) if knows_pixels else None
    end = outputs[names[0]].name
    return _source(path, graph, fed, start, end, choices, metadata, pixels)


def _source(
    path: Path,
    graph: Any,
    fed: Sequence[str],
    start: str,
    end: str,
    choices: Choices,
    metadata: Metadata | None,
    pixels: Pixels | None,
) -> Source:
    """Returns what leads from an input to an output.

    Args:
        path: of the graph, for messages.
        graph: a GraphDef.
        fed: the tensors that are replaced with pixels.
        start: the input, whose shape is that of the pixels.
        end: the output.
        choices: the size, where the input does not have one.
        metadata: if there are any.
        pixels: what is fed, where it is known.
    """
    import tensorflow as tf

    try:
        with quiet_native_libraries(), tf.Graph().as_default():
            (found,) = tf.import_graph_def(graph, return_elements=[start], name="")
        shape = found.shape.as_list() if found.shape.rank == 4 else [None, None, None, 3]
        height, width = choices.height or shape[1], choices.width or shape[2]
        if not height or not width:
            raise UserError(
                f"the graph {path} does not say how large its images are; give --input_height "
                "and --input_width"
            )
        channels = shape[3] or 3
        _remove_defaults(graph)

        def imported(image: Any) -> Any:
            replaced = dict.fromkeys(fed, image)
            (result,) = tf.import_graph_def(graph, replaced, [end], name="")
            return result

        spec = tf.TensorSpec((None, height, width, channels), tf.float32, "pixels_to_convert")
        with quiet_native_libraries():
            wrapped = tf.compat.v1.wrap_function(imported, [spec])
            # Without what decodes files, which no other format has.
            scores = wrapped.prune(wrapped.inputs[0], wrapped.outputs[0])
    except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        reason = first_line(error)
        raise UserError(
            f"the graph {path} does not lead from {start} to {end}: {reason}; give other layers "
            "with --input_layer and --output_layer"
        ) from error
    return Source(scores, height, width, channels, metadata, pixels)


def _remove_defaults(graph: Any) -> None:
    """Makes inputs that need not be fed pass their values on: other formats have no such."""
    for node in graph.node:
        if node.op == "PlaceholderWithDefault":
            node.op = "Identity"
            node.attr["T"].CopyFrom(node.attr["dtype"])
            for name in ("dtype", "shape"):
                del node.attr[name]


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _input(nodes: dict[str, Any], metadata: Metadata | None, path: Path) -> str:
    usual = [name for name in _USUAL_INPUTS if name in nodes]
    others = [name for name, node in nodes.items() if node.op == "Placeholder"]
    if metadata or usual:
        return usual[0]
    if len(others) == 1:
        return others[0]
    raise UserError(
        f"--input_layer is needed: the graph {path} has none of {', '.join(_USUAL_INPUTS)}, and "
        f"{len(others)} other inputs"
    )


def _output(nodes: dict[str, Any], metadata: Metadata | None, path: Path) -> str:
    if metadata:
        return metadata.output
    if _USUAL_OUTPUT in nodes:
        return _USUAL_OUTPUT
    used = {name.strip("^").split(":")[0] for node in nodes.values() for name in node.input}
    ends = [name for name, node in nodes.items() if name not in used and node.op == "Softmax"]
    if len(ends) == 1:
        return ends[0]
    raise UserError(
        f"--output_layer is needed: the graph {path} has no {_USUAL_OUTPUT}, and {len(ends)} other "
        "outputs with a softmax"
    )


def _casts(graph: Any, start: str) -> Iterator[str]:
    """Yields the tensors that are the input with another type."""
    same = {start}
    for node in graph.node:
        if node.input and node.input[0].split(":")[0] in same:
            if node.op == "Identity":
                same.add(node.name)
            elif node.op == "Cast":
                yield f"{node.name}:0"


def _in_assets(path: Path) -> Metadata | None:
    file = Path(path, "assets", METADATA_FILE)
    try:
        return from_json(file.read_bytes()) if file.is_file() else None
    except (MetadataError, json.JSONDecodeError) as error:
        raise UserError(f"--graph={path}: {error}") from error
