"""Loads frozen graphs as classifiers to convert."""

from pathlib import Path
from typing import Any

from retrain.errors import UserError
from retrain.metadata import (
    GRAPH_OUTPUT,
    GRAPH_PIXELS_INPUT,
    GRAPH_PIXELS_INPUTS,
    Metadata,
    MetadataError,
)
from retrain.model_limits import LIMITS
from retrain.runtimes.graph_check import UntrustedModelError, check_graph
from retrain.runtimes.graph_def import find_metadata, full_tensor_name, parse_graph
from retrain.runtimes.runtime import ModelError
from retrain.system.files.regular_files import read_regular_file
from tools.conversion import graph_classifier
from tools.conversion.preprocessing import InputFormat
from tools.conversion.source import FORMATS, GraphOptions, SourceClassifier

# `Mul` is tried after `input`, because it is also TensorFlow's default name for a multiplication.
_USUAL_INPUTS = tuple(dict.fromkeys((GRAPH_PIXELS_INPUT, *GRAPH_PIXELS_INPUTS)))


def load(path: Path, options: GraphOptions) -> SourceClassifier:
    """Returns the classifier in a file with a GraphDef.

    Raises:
        UserError: If the file is not a graph, or if its input or output cannot be found.
    """
    try:
        graph = parse_graph(read_regular_file(path, LIMITS.file_bytes))
        if not options.trust_model:
            check_graph(graph)
        metadata = find_metadata(graph)
    except OSError as error:
        raise UserError(
            f"--graph={path} cannot be read: {error.strerror}; give {FORMATS}"
        ) from error
    except UntrustedModelError as error:
        raise UserError(f"--graph={path} is not run: {error}") from error
    except (ModelError, MetadataError) as error:
        raise UserError(f"--graph={path} is not a frozen graph: {error}; give {FORMATS}") from error
    nodes = {node.name: node for node in graph.node}
    start = full_tensor_name(options.input_layer or _find_input(nodes, path))
    end = full_tensor_name(options.output_layer or _find_output(nodes, metadata, path))
    for flag, name in (("input_layer", start), ("output_layer", end)):
        if name.partition(":")[0] not in nodes:
            raise UserError(f"--{flag}={name} is not in the graph {path}; name one of its nodes")
    return graph_classifier.build(
        graph,
        graph_classifier.Tensors(start, (start,), end),
        options,
        path,
        metadata=metadata,
        input_format=InputFormat.of(metadata) if metadata else None,
    )


def _find_input(nodes: dict[str, Any], path: Path) -> str:
    for name in _USUAL_INPUTS:
        if name in nodes:
            return name
    placeholders = [name for name, node in nodes.items() if node.op == "Placeholder"]
    if len(placeholders) == 1:
        return placeholders[0]
    raise UserError(
        f"--input_layer is needed, because the graph {path} has none of the inputs "
        f"{', '.join(_USUAL_INPUTS)}, but {len(placeholders)} others; name the tensor that takes "
        "pixels"
    )


def _find_output(nodes: dict[str, Any], metadata: Metadata | None, path: Path) -> str:
    if metadata:
        return metadata.output
    if GRAPH_OUTPUT in nodes:
        return GRAPH_OUTPUT
    used = {name.strip("^").split(":")[0] for node in nodes.values() for name in node.input}
    outputs = [name for name, node in nodes.items() if name not in used and node.op == "Softmax"]
    if len(outputs) == 1:
        return outputs[0]
    raise UserError(
        f"--output_layer is needed, because the graph {path} has no output {GRAPH_OUTPUT}, but "
        f"{len(outputs)} others with a softmax; name the tensor with the scores"
    )
