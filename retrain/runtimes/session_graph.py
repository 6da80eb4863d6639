"""Runs frozen graphs of any origin in TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np

from retrain.errors import UserError
from retrain.metadata import (
    GRAPH_FILE_INPUT,
    GRAPH_OUTPUT,
    GRAPH_PIXELS_INPUT,
    Metadata,
)
from retrain.runtimes.graph_def import find_metadata
from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.preprocessing import Preprocessing
from retrain.runtimes.runtime import (
    NO_DESCRIPTION,
    NO_OVERRIDES,
    Description,
    ModelError,
    NetworkOverrides,
    Runtime,
)

# Inputs of graphs that the original program and its successors wrote, the preferred one first.
_USUAL_INPUTS = (GRAPH_FILE_INPUT, "input", "Mul", "Placeholder")
_BATCH_SIZE = 32


class SessionRuntime(Runtime):
    """Runs a graph from one or two of its tensors to another one."""

    def __init__(
        self,
        session: GraphSession,
        output: str,
        *,
        pixels_input: str | None = None,
        file_input: str | None = None,
        preprocessing: Preprocessing,
        description: Description = NO_DESCRIPTION,
        batch_size: int = _BATCH_SIZE,
    ) -> None:
        """Prepares a graph. The names of tensors can leave out `:0`.

        Args:
            session: The loaded graph.
            output: Tensor of the values, float32 [N, values].
            pixels_input: Tensor that takes preprocessed pixels, float32 [N, height, width, 3].
            file_input: Tensor that takes the content of one image file, a string scalar.
            preprocessing: Preprocessing of the pixels.
            description: What the file says about its classifier.
            batch_size: Best number of images for one call of `run`.
        """
        self.description = description
        self.takes_pixels, self.takes_files = pixels_input is not None, file_input is not None
        self.batch_size = batch_size
        self._session = session
        self._output = output
        self._pixels_input, self._file_input = pixels_input, file_input
        self._preprocessing = preprocessing

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, values] for uint8 [N, height, width, 3], RGB."""
        if self._pixels_input is None:
            raise ModelError("it takes files, not pixels")
        feeds = {self._pixels_input: self._preprocessing.apply(pixels)}
        return self._session.run(self._output, feeds).reshape(len(pixels), -1)

    def run_file(self, data: bytes) -> np.ndarray:
        """Returns float32 [values] for the content of an image file."""
        if self._file_input is None:
            return super().run_file(data)
        return self._session.run(self._output, {self._file_input: data}).reshape(-1)

    def close(self) -> None:
        """Frees the memory of the session."""
        self._session.close()


def load(path: Path, graph: Any, overrides: NetworkOverrides = NO_OVERRIDES) -> Runtime:
    """Loads the classifier in a GraphDef.

    By default, a graph that has our metadata takes pixels and files, and another graph takes what
    the first of the usual inputs takes.

    Args:
        path: File of the graph, for messages.
        graph: The GraphDef.
        overrides: What the user says about the network.

    Raises:
        UserError: If the graph has no such tensors.
        ModelError: If TensorFlow cannot run the graph.
        MetadataError: If the metadata in the graph cannot be read.
    """
    metadata = find_metadata(graph)
    session = GraphSession(graph)
    output = overrides.output_layer or (metadata.output if metadata else GRAPH_OUTPUT)
    _check_has(session, "output_layer", output, path)
    if metadata and not overrides.input_layer:
        _check_has(session, "input_layer", GRAPH_PIXELS_INPUT, path)
        pixels_input: str | None = GRAPH_PIXELS_INPUT
        file_input = GRAPH_FILE_INPUT if session.has(GRAPH_FILE_INPUT) else None
    else:
        pixels_input, file_input = _single_input(session, overrides.input_layer, path)
    shape = _shape(session, pixels_input)
    preprocessing = Preprocessing.of(metadata) if metadata else Preprocessing()
    return SessionRuntime(
        session,
        output,
        pixels_input=pixels_input,
        file_input=file_input,
        preprocessing=preprocessing.override(overrides.mean, overrides.std),
        description=_describe(metadata, shape),
        batch_size=1 if shape is None or shape[0] == 1 else _BATCH_SIZE,
    )


def _single_input(
    session: GraphSession, input_layer: str | None, path: Path
) -> tuple[str | None, str | None]:
    """Returns the name of the tensor to feed as the pixels input or as the file input."""
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
        return None, input_layer
    if dtype == "float32":
        return input_layer, None
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
    found = session.shape_and_dtype(tensor) if tensor else None
    return found[0] if found else None


def _describe(metadata: Metadata | None, shape: tuple[int | None, ...] | None) -> Description:
    """Returns what a graph says about its classifier, by metadata or by its pixels' shape."""
    if metadata:
        return Description(metadata.labels, metadata.height, metadata.width)
    if shape is None or len(shape) != 4 or None in shape[1:3]:
        return Description()
    return Description(height=shape[1], width=shape[2])
