"""Loads classifiers from TFLite files, with float32 or with quantised numbers."""

import io
import zipfile
import zlib

import numpy as np

from retrain.metadata import LABELS_FILE, METADATA_FILE, MetadataError, from_json
from retrain.runtimes.litert import LiteRTModel, LiteRTRuntime, Tensor
from retrain.runtimes.preprocessing import Preprocessing
from retrain.runtimes.runtime import (
    NO_OVERRIDES,
    Description,
    ModelError,
    NetworkOverrides,
    Runtime,
)

_IDENTIFIER = b"TFL3"
_DTYPES = (np.float32, np.uint8, np.int8)


def is_tflite(data: bytes) -> bool:
    """Returns whether a file with this content, or this beginning, is a TFLite file."""
    return data[4:8] == _IDENTIFIER


def load(data: bytes, *, overrides: NetworkOverrides = NO_OVERRIDES) -> Runtime:
    """Loads a classifier that takes one image at a time.

    Args:
        data: Content of the file.
        overrides: The user's settings. Only `mean` and `std` are used.

    Raises:
        ModelError: If LiteRT cannot run the network, or the network does not take an image.
        MetadataError: If the metadata in the file cannot be read.
    """
    model = LiteRTModel(data)
    for tensor in (model.input, model.output):
        if tensor.dtype not in _DTYPES:
            raise ModelError(f"its numbers are {tensor.dtype}, not float32, uint8 or int8")
    shape = model.input.shape
    if len(shape) != 4 or shape[0] != 1 or shape[3] != 3:
        raise ModelError(f"its input has the shape {list(shape)}, which is not one colour image")
    files = _read_appended_files(data)
    description, preprocessing = _describe(files, model.input)
    preprocessing = preprocessing.override(overrides.mean, overrides.std)
    return LiteRTRuntime(model, preprocessing, description=description)


def _read_appended_files(data: bytes) -> dict[str, bytes]:
    """Returns the labels and the metadata in a TFLite file, by the names of their files.

    They are in a ZIP archive at the end of the file:
    https://ai.google.dev/edge/litert/conversion/tensorflow/metadata

    Raises:
        MetadataError: If the archive is damaged.
    """
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = {LABELS_FILE, METADATA_FILE} & set(archive.namelist())
            return {name: archive.read(name) for name in names}
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError) as error:
        raise MetadataError(f"the files in its ZIP archive are damaged ({error})") from error


def _describe(files: dict[str, bytes], tensor: Tensor) -> tuple[Description, Preprocessing]:
    """Describes a classifier and its preprocessing.

    Args:
        files: Labels and metadata by the names of their files.
        tensor: Input of the network.
    """
    if METADATA_FILE in files:
        metadata = from_json(files[METADATA_FILE])
        description = Description(metadata.labels, metadata.height, metadata.width)
        preprocessing = Preprocessing.of(metadata)
        if tensor.dtype == np.uint8:
            # The mean and std in the metadata are for float32 input. uint8 input is the pixels.
            return description, _undo_quantisation(
                tensor, channel_order=preprocessing.channel_order
            )
        return description, preprocessing
    _, height, width, _ = tensor.shape
    description = Description(_parse_labels(files), height, width)
    if tensor.dtype == np.float32:
        return description, Preprocessing()
    return description, _undo_quantisation(tensor)


def _parse_labels(files: dict[str, bytes]) -> tuple[str, ...] | None:
    try:
        return tuple(files.get(LABELS_FILE, b"").decode().splitlines()) or None
    except UnicodeDecodeError as error:
        raise MetadataError(f"its {LABELS_FILE} is not UTF-8 text") from error


def _undo_quantisation(tensor: Tensor, *, channel_order: str = "RGB") -> Preprocessing:
    """Returns the preprocessing after which the quantised numbers are the pixels themselves."""
    mean = float(tensor.zero_point - np.iinfo(tensor.dtype).min)
    return Preprocessing((mean,) * 3, (1 / tensor.step,) * 3, channel_order)
