"""Loads classifiers from frozen graphs, TFLite files, Keras files and SavedModels."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from retrain.errors import UserError
from retrain.metadata import MetadataError
from retrain.model_limits import LIMITS
from retrain.runtimes import (
    graph_file,
    keras_model,
    known_graph,
    saved_model_folder,
    tflite_file,
)
from retrain.runtimes.graph_check import UntrustedModelError, check_graph
from retrain.runtimes.graph_def import parse_graph
from retrain.runtimes.known_graph import FindBackbone
from retrain.runtimes.runtime import NO_OVERRIDES, ModelError, NetworkOverrides, Runtime
from retrain.system.files.regular_files import check_not_special, read_regular_file
from retrain.system.outputs.unfinished import settle

_COREML_SUFFIXES = (".mlmodel", ".mlpackage")


def load(
    path: Path,
    find_backbone: FindBackbone,
    *,
    overrides: NetworkOverrides = NO_OVERRIDES,
    flag: str = "graph",
) -> Runtime:
    """Loads the classifier that the user named, in the fastest way.

    Args:
        path: Frozen graph, TFLite file, or a Keras file or SavedModel folder of this program.
        find_backbone: Function that returns the known backbone of a name, or None.
        overrides: The user's settings, which override those in the file.
        flag: Name of the flag with the path, for messages.

    Raises:
        UserError: If the file cannot be read, is not a classifier, or does not have the tensors in
            `overrides`.
    """
    if path.suffix in _COREML_SUFFIXES and path.exists():
        raise UserError(
            f"--{flag}={path} is a Core ML model, which only Apple's systems can run; give the "
            "frozen graph, TFLite file, Keras file or SavedModel of the same classifier"
        )
    try:
        return next(load_all(path, find_backbone, overrides=overrides))
    except OSError as error:
        raise UserError(
            f"--{flag}={path} cannot be read: {error.strerror}; give a file that retrain wrote"
        ) from error
    except UntrustedModelError as error:
        raise UserError(f"--{flag}={path} is not run: {error}") from error
    except (ModelError, MetadataError) as error:
        raise UserError(
            f"--{flag}={path} is not a classifier that can be run: {error}; give a file that "
            "retrain wrote"
        ) from error


def load_all(
    path: Path, find_backbone: FindBackbone, *, overrides: NetworkOverrides = NO_OVERRIDES
) -> Iterator[Runtime]:
    """Yields a runtime for each way to compute the scores of a classifier, the fastest first.

    Args:
        path: Frozen graph, TFLite file, or a Keras file or SavedModel folder of this program.
        find_backbone: Function that returns the known backbone of a name, or None.
        overrides: The user's settings, which override those in the file.

    Raises:
        OSError: If the file cannot be read.
        UserError: If the file does not have the tensors in `overrides`.
        UntrustedModelError: If the network does more than compute.
        ModelError: If the file is not a network that can be run.
        MetadataError: If the metadata in the file cannot be read.
    """
    settle(path)
    check_not_special(path)
    if path.is_dir():
        _refuse_all(path, "SavedModel", overrides)
        yield from saved_model_folder.load_all(path, trust_model=overrides.trust_model)
        return
    data = read_regular_file(path, LIMITS.file_bytes)
    if keras_model.is_keras(data):
        _refuse_all(path, "Keras file", overrides)
        yield keras_model.load(path, data)
        return
    if tflite_file.is_tflite(data):
        _refuse_layers(path, "TFLite file", overrides)
        yield tflite_file.load(data, overrides=overrides)
        return
    graph = parse_graph(data)
    if not overrides.trust_model:
        check_graph(graph)
    # Only a session can start and end at any tensor. It comes last, since TensorFlow adds default
    # values to the nodes of a graph that it loads.
    if not overrides.input_layer and not overrides.output_layer:
        known = known_graph.load(graph, find_backbone, overrides=overrides)
        if known:
            yield known
    yield graph_file.load(path, graph, overrides=overrides)


def list_files(path: Path) -> list[Path]:
    """Returns the files of a classifier: itself, or all files in the folder of a SavedModel."""
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def digest(path: Path) -> str:
    """Returns a hexadecimal SHA-256 digest that identifies the content of a classifier.

    Raises:
        OSError: If a file cannot be read.
    """
    settle(path)
    if not path.is_dir():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    lines = [f"{digest(file)} {file.relative_to(path).as_posix()}" for file in list_files(path)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _refuse(path: Path, kind: str, flags: Mapping[str, object], purpose: str) -> None:
    """Refuses flags that have a value but no meaning for a file of this kind."""
    for flag, value in flags.items():
        if value not in (None, ""):
            raise UserError(
                f"--{flag}={value} {purpose}, but {path} is a {kind}; leave the flag out"
            )


def _refuse_layers(path: Path, kind: str, overrides: NetworkOverrides) -> None:
    flags = {"input_layer": overrides.input_layer, "output_layer": overrides.output_layer}
    _refuse(path, kind, flags, "selects a tensor of a frozen graph")


def _refuse_all(path: Path, kind: str, overrides: NetworkOverrides) -> None:
    _refuse_layers(path, kind, overrides)
    flags = {"input_mean": overrides.mean, "input_std": overrides.std}
    _refuse(path, kind, flags, "is for networks that take normalised pixels")
