"""Loads classifiers from the SavedModels that this program writes, and runs them in TensorFlow."""

import dataclasses
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
from retrain.runtimes.runtime import ModelError, Outputs, Runtime, describe
from retrain.system.console import quiet_native_libraries
from retrain.system.regular_files import read_regular_file
from retrain.system.text import first_line

# The file in the folder of each SavedModel.
MODEL_FILE = "saved_model.pb"

_BATCH_SIZE = 16


def load(folder: Path, *, trust_model: bool = False) -> Runtime:
    """Loads a classifier. The functions in the folder normalise the pixels themselves.

    Args:
        folder: The folder of a SavedModel.
        trust_model: Whether to run a network that does more than compute.

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
        import tensorflow as tf

        loaded = saved_model_import.load(folder, trust_model=trust_model)
    signatures = loaded.signatures
    if PIXELS_SIGNATURE not in signatures:
        raise ModelError(f"it has no signature {PIXELS_SIGNATURE}")
    from_pixels, from_files = signatures[PIXELS_SIGNATURE], signatures.get(FILES_SIGNATURE)

    both_from_pixels = signatures.get(PIXELS_FAMILIARITY_SIGNATURE)
    both_from_files = signatures.get(FILES_FAMILIARITY_SIGNATURE)
    description = describe(metadata)
    if not both_from_pixels or (from_files and not both_from_files):
        description = dataclasses.replace(description, familiarity=None)

    def call(signature: Any, pixels: np.ndarray) -> Any:
        if pixels.shape[1:3] != (metadata.height, metadata.width):
            raise ModelError(f"it takes images of {metadata.height} x {metadata.width} pixels")
        return signature(**{PIXELS_INPUT: tf.constant(pixels)})

    def call_file(signature: Any, data: bytes) -> Any:
        try:
            with quiet_native_libraries():
                return signature(**{FILES_INPUT: tf.constant([data])})
        except tf.errors.OpError as error:
            raise ModelError(first_line(error)) from error

    def predict(pixels: np.ndarray) -> Outputs:
        outputs = call(both_from_pixels, pixels)
        return Outputs(outputs[OUTPUT].numpy(), outputs[FAMILIARITY_OUTPUT].numpy())

    def predict_file(data: bytes) -> Outputs:
        outputs = call_file(both_from_files, data)
        return Outputs(outputs[OUTPUT].numpy()[0], outputs[FAMILIARITY_OUTPUT].numpy()[0])

    has_familiarity = description.familiarity is not None
    return FunctionRuntime(
        lambda pixels: call(from_pixels, pixels)[OUTPUT].numpy(),
        run_file=(lambda data: call_file(from_files, data)[OUTPUT].numpy()[0])
        if from_files
        else None,
        predict=predict if has_familiarity else None,
        predict_file=predict_file if has_familiarity and from_files else None,
        description=description,
        batch_size=_BATCH_SIZE,
        trace=lambda: from_pixels,
    )
