"""Loads SavedModels as classifiers to convert."""

import dataclasses
import logging
from collections.abc import Iterator
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
from retrain.model_limits import LIMITS
from retrain.runtimes import saved_model_import
from retrain.runtimes.graph_check import UntrustedModelError
from retrain.runtimes.runtime import ModelError
from retrain.system.files.regular_files import read_regular_file
from retrain.system.program.console import quiet_native_libraries
from retrain.system.text import first_line
from tools.conversion import graph_classifier, inference_graph
from tools.conversion.preprocessing import InputFormat
from tools.conversion.source import FORMATS, GraphOptions, SourceClassifier


def load(path: Path, options: GraphOptions) -> SourceClassifier:
    """Returns the classifier in the folder of a SavedModel.

    Raises:
        UserError: If the folder is not a SavedModel, or if it has no signature from pixels to
            scores.
    """
    import tensorflow as tf

    # The variables of the signature live as long as the SavedModel.
    saved_model = _load_saved_model(path, trust_model=options.trust_model)
    signature = saved_model.signatures[PIXELS_SIGNATURE]
    end = _find_output(path, signature, options.output_layer)
    try:
        with quiet_native_libraries():
            graph, removed = inference_graph.freeze(signature, end)
    except inference_graph.TrainingFunctionError as error:
        raise UserError(
            f"the scores of --graph={path} are those of training, because they depend on {error}; "
            f"save a signature {PIXELS_SIGNATURE} that calls the model with training=False"
        ) from error
    except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        raise UserError(
            f"--graph={path} cannot be converted, because its variables cannot become constants: "
            f"{first_line(error)}; save a signature {PIXELS_SIGNATURE} that calls the model with "
            "training=False"
        ) from error
    if removed:
        logging.info("Left out layers that only training needs: %s.", ", ".join(removed))
    start = signature.inputs[0].name
    dtype = signature.inputs[0].dtype
    fed = [start] if dtype == tf.float32 else []
    if dtype == tf.uint8:
        # The classifier gets float32 pixels, so they are fed after the conversion to float32.
        fed = list(_casts(graph, start.partition(":")[0]))
    if not fed:
        raise UserError(
            f"the input of --graph={path} is {dtype.name} instead of pixels, float32 or uint8; "
            "save it with a signature for pixels"
        )
    metadata = _read_metadata(path)
    source = graph_classifier.build(
        graph,
        graph_classifier.Tensors(start, tuple(fed), end),
        options,
        path,
        metadata=metadata,
        input_format=None,
    )
    # SavedModels of this program, which have metadata, normalise images themselves.
    if metadata is None and dtype != tf.uint8:
        return source
    return dataclasses.replace(source, input_format=InputFormat.unnormalised(source.channels))


def _load_saved_model(path: Path, *, trust_model: bool) -> Any:
    """Returns the loaded SavedModel, which has the signature for pixels."""
    try:
        with quiet_native_libraries():
            # `inference_graph` removes random operations, or refuses them.
            loaded = saved_model_import.load(path, trust_model=trust_model, allow_random=True)
    except UntrustedModelError as error:
        raise UserError(f"--graph={path} is not run: {error}") from error
    except ModelError as error:
        raise UserError(
            f"--graph={path} is not a SavedModel that can be used: {error}; give {FORMATS}"
        ) from error
    if PIXELS_SIGNATURE not in loaded.signatures:
        names = ", ".join(loaded.signatures) or "none"
        raise UserError(
            f"--graph={path} needs a signature {PIXELS_SIGNATURE}, but its signatures are: "
            f"{names}; save it with one"
        )
    return loaded


def _find_output(path: Path, signature: Any, output_layer: str | None) -> str:
    """Returns the name of the tensor of the scores."""
    # TensorFlow sorts the outputs of a function by name.
    names = sorted(signature.structured_outputs)
    tensors = dict(zip(names, signature.outputs, strict=True))
    inputs = len(signature.inputs) - len(signature.captured_inputs)
    candidates = names
    if output_layer:
        candidates = [output_layer]
    elif OUTPUT in names:
        candidates = [OUTPUT]
    if len(candidates) != 1 or candidates[0] not in tensors or inputs != 1:
        raise UserError(
            f"--graph={path} must have one input and one output, but has {inputs} "
            f"inputs and the outputs {', '.join(names)}; --output_layer chooses an output"
        )
    return tensors[candidates[0]].name


def _casts(graph: Any, start: str) -> Iterator[str]:
    """Yields the names of tensors that are casts of a node's output."""
    same = {start}
    for node in graph.node:
        if node.input and node.input[0].split(":")[0] in same:
            if node.op == "Identity":
                same.add(node.name)
            elif node.op == "Cast":
                yield f"{node.name}:0"


def _read_metadata(path: Path) -> Metadata | None:
    file = path / "assets" / METADATA_FILE
    try:
        if not file.is_file():
            return None
        return from_json(read_regular_file(file, LIMITS.metadata_bytes))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    except MetadataError as error:
        raise UserError(f"--graph={path} cannot be converted: {error}") from error
