"""Loads classifiers from the Keras files that this program writes, and runs them in Keras."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np

from retrain.metadata import METADATA_FILE, OUTPUT, Metadata, from_json
from retrain.model_limits import LIMITS
from retrain.runtimes.function_runtime import FunctionRuntime
from retrain.runtimes.hdf5_check import check_keras_archive
from retrain.runtimes.runtime import Description, ModelError, Outputs, Runtime, describe
from retrain.system.files import archives
from retrain.system.program.console import quiet_native_libraries
from retrain.system.text import first_line

SUFFIX = ".keras"

_ZIP_START, _HDF5_START = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
# The file in the ZIP archive that describes the layers.
_CONFIG_FILE = "config.json"
_BATCH_SIZE = 16


def is_keras(data: bytes) -> bool:
    """Returns whether a file with this content, or this beginning, can be a Keras file."""
    return data.startswith((_ZIP_START, _HDF5_START))


def load(path: Path, data: bytes) -> Runtime:
    """Loads a classifier. The model in the file normalises the pixels itself.

    Args:
        path: The file.
        data: Content of the file.

    Raises:
        ModelError: If it is not a Keras file with this program's metadata, or Keras cannot read it.
        MetadataError: If the metadata in the file cannot be read.
    """
    metadata = _read_metadata(data)
    if path.suffix != SUFFIX:
        raise ModelError(f"it is a Keras file, whose name must end in {SUFFIX}")
    with quiet_native_libraries():
        import tensorflow as tf

        try:
            model = tf.keras.models.load_model(path, compile=False)
        # Keras raises exceptions of many types for damaged files.
        except Exception as error:
            raise ModelError(f"Keras cannot read it: {first_line(error)}") from error
    shape = (None, metadata.height, metadata.width, 3)
    if model.input_shape != shape:
        raise ModelError(f"its input has the shape {model.input_shape}, but must have {shape}")
    description = describe(metadata)
    features = _find_features(model, description)
    if features is None:
        description = dataclasses.replace(description, familiarity=None)
    familiarity = description.familiarity
    extended = model
    if familiarity is not None:
        extended = tf.keras.Model(model.inputs, [model.outputs[0], features])

    def compiled(network: Any) -> Any:
        return tf.function(lambda pixels: network(pixels, training=False), [tf.TensorSpec(shape)])

    compute = compiled(extended)

    def predict(pixels: np.ndarray) -> Outputs:
        if pixels.shape[1:] != shape[1:]:
            raise ModelError(f"it takes images of {metadata.height} x {metadata.width} pixels")
        outputs = tf.nest.flatten(compute(tf.constant(pixels, tf.float32)))
        values, *features = (tensor.numpy() for tensor in outputs)
        return Outputs(values, None if familiarity is None else familiarity.scores(*features))

    return FunctionRuntime(
        predict,
        description=description,
        batch_size=_BATCH_SIZE,
        trace=compiled(model).get_concrete_function,
    )


def _find_features(model: Any, description: Description) -> Any:
    """Returns the tensor of the features that the familiarity depends on.

    Returns:
        None if the familiarity is not known, or the last layer is not the one that this program
        writes.
    """
    layer = model.layers[-1]
    if description.familiarity is None or layer.name != OUTPUT:
        return None
    features = layer.input
    is_usable = len(features.shape) == 2 and features.shape[1] >= description.familiarity.width
    return features if is_usable else None


def _read_metadata(data: bytes) -> Metadata:
    if data.startswith(_HDF5_START):
        raise ModelError("it is an HDF5 file of Keras; convert it with //tools:convert")
    try:
        with archives.open_zip(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            if _CONFIG_FILE not in names:
                raise ModelError("it is a ZIP archive, but not a Keras file")
            if METADATA_FILE not in names:
                raise ModelError(
                    "it is a Keras file without the labels and metadata that retrain adds; convert "
                    "it with //tools:convert"
                )
            check_keras_archive(archive)
            content = archives.read_zip_entry(archive, METADATA_FILE, LIMITS.metadata_bytes)
    except archives.ArchiveError as error:
        raise ModelError(str(error)) from error
    return from_json(content)
