"""Loads classifiers from files: whatever the kind of file, pixels go in and scores come out."""

import dataclasses
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from retrain.errors import UserError
from retrain.export import metadata
from retrain.graph_session import GraphError, GraphSession, parse_graph, tensorflow_session
from retrain.runtime import processors

# What the original's graphs call them, in the order of preference.
_USUAL_INPUTS = ("DecodeJpeg/contents:0", "input:0", "Mul:0", "Placeholder:0")
_USUAL_OUTPUT = "final_result:0"


@dataclasses.dataclass(frozen=True)
class InputSize:
    """The size of the pictures that a network takes, in pixels."""

    height: int
    width: int


class Runtime(Protocol):
    """A loaded classifier, which any number of threads may use.

    Attributes:
        metadata: what the file says of itself, None where it says nothing.
        takes_files: whether it decodes pictures itself, from the bytes of a file.
        size: of the pixels it takes, as far as the file tells.
        batch_size: how many pictures a call should have.
        workers: how many threads should call it.
    """

    metadata: metadata.Metadata | None
    takes_files: bool
    size: InputSize | None
    batch_size: int
    workers: int

    def classify_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, classes] for float32 [N, height, width, 3], normalised."""

    def classify_file(self, data: bytes) -> np.ndarray:
        """Returns float32 [classes] for the bytes of a picture's file.

        Raises:
            GraphError: the network's own decoder does not read it.
        """


def load(path: Path, input_layer: str | None = None, output_layer: str | None = None) -> Runtime:
    """Returns the classifier in the file.

    Args:
        path: a frozen graph.
        input_layer: the tensor to feed; by default the one for pixels where the file describes
            itself, else the first of the original's names that it has.
        output_layer: the tensor of the scores; by default the one that the file names, else
            `final_result`.

    Raises:
        UserError: there is no such file, it is not a classifier, or has no such layers.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"--graph={path} cannot be read: {error.strerror}; name the file that retrain wrote"
        ) from error
    try:
        return FrozenGraph(path, data, input_layer, output_layer)
    except (GraphError, metadata.MetadataError) as error:
        raise UserError(
            f"--graph={path} is not a frozen graph that can be run: {error}; "
            "name the file that retrain wrote"
        ) from error


class FrozenGraph:
    """A GraphDef, run by TensorFlow."""

    def __init__(
        self, path: Path, data: bytes, input_layer: str | None, output_layer: str | None
    ) -> None:
        """Loads the graph and finds its input and output."""
        graph = parse_graph(data)
        self.metadata = _metadata_in(graph)
        self._session = GraphSession(graph)
        self._output = self._find("output_layer", output_layer or self._default_output(), path)
        self._input = self._find("input_layer", input_layer or self._default_input(), path)
        shape, dtype = self._session.shape_and_dtype(self._input) or (None, "")
        if dtype not in ("string", "float32"):
            raise UserError(
                f"--input_layer={self._input} takes {dtype}; choose one that takes a file (string) "
                "or normalised pixels (float32)"
            )
        self.takes_files = dtype == "string"
        self.size = _size_in(shape)
        self.batch_size = 1 if self.takes_files or not shape or shape[0] == 1 else 32
        self.workers = processors()

    def classify_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, classes] for float32 [N, height, width, 3], normalised."""
        scores = self._session.run(self._output, {self._input: pixels})
        return scores.reshape(len(pixels), -1)

    def classify_file(self, data: bytes) -> np.ndarray:
        """Returns float32 [classes] for the bytes of a picture's file."""
        return self._session.run(self._output, {self._input: data}).reshape(-1)

    def _default_input(self) -> str:
        if self.metadata:
            return "input:0"
        known = [name for name in _USUAL_INPUTS if self._session.has(name)]
        if not known:
            raise UserError(
                "--input_layer is needed: the graph does not describe itself, and has none of "
                + ", ".join(_USUAL_INPUTS)
            )
        return known[0]

    def _default_output(self) -> str:
        return f"{self.metadata.output}:0" if self.metadata else _USUAL_OUTPUT

    def _find(self, flag: str, name: str, path: Path) -> str:
        tensor = name if ":" in name else f"{name}:0"
        if not self._session.has(tensor):
            raise UserError(
                f"--{flag}={name} is not in the graph {path}; give the name of one of its tensors"
            )
        return tensor


def _metadata_in(graph: Any) -> metadata.Metadata | None:
    for node in graph.node:
        if node.name == metadata.GRAPH_NODE:
            value = tensorflow_session().tensor_util.MakeNdarray(node.attr["value"].tensor)
            return metadata.from_json(value.item())
    return None


def _size_in(shape: tuple[int | None, ...] | None) -> InputSize | None:
    if shape is None or len(shape) != 4 or shape[1] is None or shape[2] is None:
        return None
    return InputSize(shape[1], shape[2])
