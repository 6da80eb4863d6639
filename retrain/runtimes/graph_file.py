"""Loads classifiers from frozen graphs of any program, and runs them in TensorFlow."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from retrain.errors import UserError
from retrain.metadata import (
    GRAPH_FAMILIARITY,
    GRAPH_FILE_INPUT,
    GRAPH_OUTPUT,
    GRAPH_PIXELS_INPUT,
    GRAPH_PIXELS_INPUTS,
    Metadata,
)
from retrain.runtimes.graph_def import find_metadata
from retrain.runtimes.graph_session import GraphSession, SessionRuntime
from retrain.runtimes.preprocessing import Preprocessing
from retrain.runtimes.runtime import NO_OVERRIDES, Description, NetworkOverrides, Runtime, describe

# Inputs of the graphs that retraining scripts have written since 2015, the preferred one first.
_USUAL_INPUTS = tuple(dict.fromkeys((GRAPH_FILE_INPUT, GRAPH_PIXELS_INPUT, *GRAPH_PIXELS_INPUTS)))
_BATCH_SIZE = 32


class _Inputs(NamedTuple):
    """Names of the tensors that take preprocessed pixels and the content of an image file."""

    pixels: str | None = None
    file: str | None = None


def load(path: Path, graph: Any, *, overrides: NetworkOverrides = NO_OVERRIDES) -> Runtime:
    """Loads the classifier in a GraphDef.

    By default, a graph with metadata is fed both pixels and files. A graph without metadata is fed
    through the first of the usual inputs that it has.

    Args:
        path: File of the graph, for messages.
        graph: The GraphDef.
        overrides: The user's settings, which override those in the graph.

    Raises:
        UserError: If the graph does not have the input or the output, or the input takes neither
            files nor pixels.
        UntrustedModelError: If the graph does more than compute.
        ModelError: If TensorFlow cannot run the graph.
        MetadataError: If the metadata in the graph cannot be read.
    """
    metadata = find_metadata(graph)
    session = GraphSession(graph, trust_model=overrides.trust_model)
    output = overrides.output_layer or (metadata.output if metadata else GRAPH_OUTPUT)
    _check_has(session, "output_layer", output, path)
    if metadata and not overrides.input_layer:
        _check_has(session, "input_layer", GRAPH_PIXELS_INPUT, path)
        file_input = GRAPH_FILE_INPUT if session.has(GRAPH_FILE_INPUT) else None
        inputs = _Inputs(GRAPH_PIXELS_INPUT, file_input)
    else:
        inputs = _find_input(session, overrides.input_layer, path)
    shape = _shape(session, inputs.pixels)
    preprocessing = Preprocessing.of(metadata) if metadata else Preprocessing()
    description = _describe(metadata, shape)
    if not session.has(GRAPH_FAMILIARITY):
        description = dataclasses.replace(description, familiarity=None)
    return SessionRuntime(
        session,
        output,
        pixels_input=inputs.pixels,
        file_input=inputs.file,
        preprocessing=preprocessing.override(overrides.mean, overrides.std),
        description=description,
        familiarity=GRAPH_FAMILIARITY if description.familiarity else None,
        batch_size=_BATCH_SIZE if shape and shape[0] != 1 else 1,
    )


def _find_input(session: GraphSession, input_layer: str | None, path: Path) -> _Inputs:
    """Returns the input that the user chose, or the first of the usual inputs."""
    if input_layer is None:
        usual = [name for name in _USUAL_INPUTS if session.has(name)]
        if not usual:
            raise UserError(
                f"--input_layer is needed: the graph {path} has no metadata and none of the usual "
                f"inputs {', '.join(_USUAL_INPUTS)}; give the name of the tensor that takes images"
            )
        input_layer = usual[0]
    _check_has(session, "input_layer", input_layer, path)
    _, dtype = session.shape_and_dtype(input_layer) or (None, "")
    if dtype == "string":
        return _Inputs(file=input_layer)
    if dtype == "float32":
        return _Inputs(pixels=input_layer)
    raise UserError(
        f"--input_layer={input_layer} takes {dtype}; choose a tensor that takes the content of a "
        "file (string) or normalised pixels (float32)"
    )


def _check_has(session: GraphSession, flag: str, name: str, path: Path) -> None:
    if not session.has(name):
        raise UserError(
            f"--{flag}={name} is not in the graph {path}; give the name of one of its tensors"
        )


def _shape(session: GraphSession, tensor: str | None) -> tuple[int | None, ...] | None:
    shape_and_dtype = session.shape_and_dtype(tensor) if tensor else None
    return shape_and_dtype[0] if shape_and_dtype else None


def _describe(metadata: Metadata | None, shape: tuple[int | None, ...] | None) -> Description:
    """Describes the classifier by the metadata or, without any, by the shape of the pixels."""
    if metadata:
        return describe(metadata)
    if shape is None or len(shape) != 4 or None in shape[1:3]:
        return Description()
    return Description(height=shape[1], width=shape[2])
