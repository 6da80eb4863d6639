"""Frozen graphs of every origin, run by TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np

from retrain.errors import UserError
from retrain.runtimes.graph_constants import metadata_in
from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.runtime import Description
from retrain.system.threads import processors

# What the original's graphs call them, in the order of preference.
_USUAL_INPUTS = ("DecodeJpeg/contents:0", "input:0", "Mul:0", "Placeholder:0")
_USUAL_OUTPUT = "final_result:0"


class SessionGraph:
    """A Runtime for a GraphDef."""

    def __init__(
        self, path: Path, graph: Any, input_layer: str | None, output_layer: str | None
    ) -> None:
        """Loads the graph and finds its input and output.

        Raises:
            UserError: it has no such layers.
            GraphError: TensorFlow cannot run it.
            MetadataError: what it says of itself cannot be read.
        """
        self._metadata = metadata_in(graph)
        self._session = GraphSession(graph)
        self._output = self._find("output_layer", output_layer or self._default_output(), path)
        self._input = self._find("input_layer", input_layer or self._default_input(), path)
        shape, dtype = self._session.shape_and_dtype(self._input) or (None, "")
        if dtype not in ("string", "float32"):
            raise UserError(
                f"--input_layer={self._input} takes {dtype}; choose one that takes a file (string) "
                "or normalised pixels (float32)"
            )
        self.description = (
            Description.of(self._metadata) if self._metadata else _description_in(shape)
        )
        self.takes_files = dtype == "string"
        self.batch_size = 1 if self.takes_files or not shape or shape[0] == 1 else 32
        self.workers = processors()

    def classify_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, classes] for float32 [N, height, width, 3], normalised."""
        scores = self._session.run(self._output, {self._input: pixels})
        return scores.reshape(len(pixels), -1)

    def classify_file(self, data: bytes) -> np.ndarray:
        """Returns float32 [classes] for the bytes of an image's file."""
        return self._session.run(self._output, {self._input: data}).reshape(-1)

    def _default_input(self) -> str:
        if self._metadata:
            return "input:0"
        known = [name for name in _USUAL_INPUTS if self._session.has(name)]
        if not known:
            raise UserError(
                "--input_layer is needed: the graph does not describe itself, and has none of "
                + ", ".join(_USUAL_INPUTS)
            )
        return known[0]

    def _default_output(self) -> str:
        return f"{self._metadata.output}:0" if self._metadata else _USUAL_OUTPUT

    def _find(self, flag: str, name: str, path: Path) -> str:
        tensor = name if ":" in name else f"{name}:0"
        if not self._session.has(tensor):
            raise UserError(
                f"--{flag}={name} is not in the graph {path}; give the name of one of its tensors"
            )
        return tensor


def _description_in(shape: tuple[int | None, ...] | None) -> Description:
    if shape is None or len(shape) != 4 or shape[1] is None or shape[2] is None:
        return Description()
    return Description(height=shape[1], width=shape[2])
