"""Loads classifiers from files of every kind, each in the quickest way that gives its answers."""

from pathlib import Path

from label_image import exported_graph
from retrain.errors import UserError
from retrain.metadata import MetadataError
from retrain.runtimes import tflite_file
from retrain.runtimes.graph_session import GraphError, parse_graph
from retrain.runtimes.runtime import Runtime
from retrain.runtimes.session_graph import SessionGraph


def load(path: Path, input_layer: str | None = None, output_layer: str | None = None) -> Runtime:
    """Returns the classifier in the file.

    Args:
        path: a frozen graph or a TFLite file.
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
    layers = {"input_layer": input_layer, "output_layer": output_layer}
    try:
        if tflite_file.is_tflite(data):
            _refuse_layers(path, layers)
            return tflite_file.TFLite(data)
        graph = parse_graph(data)
        # Only a session can begin and end at any tensor.
        quick = None if any(layers.values()) else exported_graph.load(graph)
        return quick or SessionGraph(path, graph, **layers)
    except (GraphError, MetadataError) as error:
        raise UserError(
            f"--graph={path} is not a classifier that can be run: {error}; "
            "name the file that retrain wrote"
        ) from error


def _refuse_layers(path: Path, layers: dict[str, str | None]) -> None:
    for flag, name in layers.items():
        if name:
            raise UserError(
                f"--{flag}={name} chooses a tensor of a frozen graph, but {path} is a TFLite file; "
                "leave the flag out"
            )
