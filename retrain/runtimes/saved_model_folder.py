"""Loads classifiers from the SavedModels that this program writes, and runs them in TensorFlow."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from retrain.metadata import (
    FAMILIARITY_OUTPUT,
    FILES_FAMILIARITY_SIGNATURE,
    FILES_INPUT,
    FILES_SIGNATURE,
    METADATA_FILE,
    OUTPUT,
    PIXELS_FAMILIARITY_SIGNATURE,
    PIXELS_INPUT,
    PIXELS_SIGNATURE,
    from_json,
)
from retrain.model_limits import LIMITS
from retrain.runtimes import saved_model_import
from retrain.runtimes.function_runtime import FunctionRuntime
from retrain.runtimes.runtime import Description, ModelError, Outputs, Runtime, describe
from retrain.system.files.regular_files import read_regular_file
from retrain.system.program.console import quiet_native_libraries
from retrain.system.text import first_line

# The file in the folder of each SavedModel.
MODEL_FILE = "saved_model.pb"

_BATCH_SIZE = 16


def load(folder: Path, *, trust_model: bool = False) -> Runtime:
    """Loads a classifier, with its familiarity if it has one; see `load_all`."""
    return load_all(folder, trust_model=trust_model)[0]


def load_all(folder: Path, *, trust_model: bool = False) -> list[Runtime]:
    """Loads a classifier with and without its familiarity, which are different signatures.

    The functions in the folder normalise the pixels themselves.

    Args:
        folder: The folder of a SavedModel.
        trust_model: Whether to run a network that does more than compute.

    Returns:
        The classifier with its familiarity, if it has one, and the one without.

    Raises:
        OSError: If the folder cannot be read.
        UntrustedModelError: If the network does more than compute.
        ModelError: If it is not a SavedModel with this program's metadata, or TensorFlow cannot
            load it.
        MetadataError: If the metadata in the folder cannot be read.
    """
    if not (folder / MODEL_FILE).is_file():
        raise ModelError(f"it is a folder without {MODEL_FILE}, so it is not a SavedModel")
    described = folder / "assets" / METADATA_FILE
    if not described.is_file():
        raise ModelError(
            "it is a SavedModel without the labels and metadata that retrain adds; convert it with "
            "//tools:convert"
        )
    metadata = from_json(read_regular_file(described, LIMITS.metadata_bytes))
    with quiet_native_libraries():
        loaded = saved_model_import.load(folder, trust_model=trust_model)
    signatures = loaded.signatures
    if PIXELS_SIGNATURE not in signatures:
        raise ModelError(f"it has no signature {PIXELS_SIGNATURE}")
    description = describe(metadata)
    runtimes = [
        _runtime(
            signatures,
            (PIXELS_SIGNATURE, FILES_SIGNATURE),
            dataclasses.replace(description, familiarity=None),
        )
    ]
    names = (PIXELS_FAMILIARITY_SIGNATURE, FILES_FAMILIARITY_SIGNATURE)
    if description.familiarity is not None and signatures.keys() >= set(names):
        runtimes.insert(0, _runtime(signatures, names, description))
    return runtimes


def _runtime(signatures: Any, names: tuple[str, str], description: Description) -> Runtime:
    """Returns a runtime for two signatures: of pixels, and of files if the folder has it."""
    import tensorflow as tf

    from_pixels, from_files = (_start_alone(signatures.get(name)) for name in names)
    height, width = description.height, description.width

    def predict(pixels: np.ndarray) -> Outputs:
        if pixels.shape[1:3] != (height, width):
            raise ModelError(f"it takes images of {height} x {width} pixels")
        return from_pixels({PIXELS_INPUT: tf.constant(pixels)})

    def predict_file(data: bytes) -> Outputs:
        try:
            with quiet_native_libraries():
                values, familiarity = from_files({FILES_INPUT: tf.constant([data])})
        except tf.errors.OpError as error:
            raise ModelError(first_line(error)) from error
        return Outputs(values[0], None if familiarity is None else familiarity[0])

    return FunctionRuntime(
        predict,
        predict_file=predict_file if names[1] in signatures else None,
        description=description,
        batch_size=_BATCH_SIZE,
        trace=lambda: signatures[PIXELS_SIGNATURE],
    )


def _start_alone(signature: Any) -> Callable[[dict[str, Any]], Outputs]:
    """Returns a function that calls a signature, in one thread until the first call has ended.

    TensorFlow optimises a function in its first call. Other threads would all do the same.
    """
    lock = threading.Lock()
    is_optimised = False

    def call(inputs: dict[str, Any]) -> Outputs:
        nonlocal is_optimised
        with contextlib.nullcontext() if is_optimised else lock:
            computed = signature(**inputs)
        is_optimised = True
        familiarity = computed.get(FAMILIARITY_OUTPUT)
        return Outputs(
            computed[OUTPUT].numpy(), None if familiarity is None else familiarity.numpy()
        )

    return call
