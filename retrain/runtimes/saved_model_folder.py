"""Loads classifiers from the SavedModels that this program writes, and runs them in TensorFlow."""

from pathlib import Path

import numpy as np

from retrain.metadata import (
    FILES_INPUT,
    FILES_SIGNATURE,
    METADATA_FILE,
    OUTPUT,
    PIXELS_INPUT,
    PIXELS_SIGNATURE,
    from_json,
)
from retrain.model_limits import LIMITS
from retrain.runtimes import saved_model_import
from retrain.runtimes.function_runtime import FunctionRuntime
from retrain.runtimes.runtime import ModelError, Runtime, describe
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

    def run(pixels: np.ndarray) -> np.ndarray:
        if pixels.shape[1:3] != (metadata.height, metadata.width):
            raise ModelError(f"it takes images of {metadata.height} x {metadata.width} pixels")
        return from_pixels(**{PIXELS_INPUT: tf.constant(pixels)})[OUTPUT].numpy()

    def run_file(data: bytes) -> np.ndarray:
        try:
            with quiet_native_libraries():
                return from_files(**{FILES_INPUT: tf.constant([data])})[OUTPUT].numpy()[0]
        except tf.errors.OpError as error:
            raise ModelError(first_line(error)) from error

    return FunctionRuntime(
        run,
        run_file=run_file if from_files else None,
        description=describe(metadata),
        batch_size=_BATCH_SIZE,
        trace=lambda: from_pixels,
    )
