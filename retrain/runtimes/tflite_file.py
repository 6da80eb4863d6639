"""Loads classifiers from TFLite files, with float32 or with quantised numbers."""

import dataclasses
import io
import math
import zipfile
from collections.abc import Sequence

import numpy as np

from retrain.metadata import LABELS_FILE, METADATA_FILE, TFLITE_FEATURES, MetadataError, from_json
from retrain.model_limits import LIMITS
from retrain.runtimes import label_lines, tflite_description, tflite_schema
from retrain.runtimes.familiarity import Familiarity
from retrain.runtimes.flatbuffer_table import FlatbufferError, FlatbufferTable
from retrain.runtimes.litert import LiteRTModel, LiteRTRuntime, Tensor
from retrain.runtimes.preprocessing import Preprocessing
from retrain.runtimes.runtime import (
    NO_OVERRIDES,
    Description,
    ModelError,
    NetworkOverrides,
    Runtime,
    describe,
)
from retrain.runtimes.tflite_description import Normalization
from retrain.runtimes.tflite_outputs import add_output
from retrain.system.files import archives

_IDENTIFIER = b"TFL3"
_DTYPES = (np.float32, np.uint8, np.int8)
# The input of a network uses most of its 256 integers. If normalised pixels use fewer than this,
# the normalisation is not that of the input.
_MIN_INTEGERS = 100


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
    _check_weights(data)
    model = LiteRTModel(data)
    for tensor in (model.input, model.output):
        if tensor.dtype not in _DTYPES:
            raise ModelError(f"its numbers are {tensor.dtype}, not float32, uint8 or int8")
    shape = model.input.shape
    if len(shape) != 4 or shape[0] != 1 or shape[3] != 3:
        raise ModelError(f"its input has the shape {list(shape)}, which is not one colour image")
    description, preprocessing = _describe(data, model.input)
    if description.familiarity:
        extended = _with_features(data, description.familiarity)
        model = extended or model
        if not extended:
            description = dataclasses.replace(description, familiarity=None)
    if overrides.mean is not None and overrides.std is not None:
        description = dataclasses.replace(description, assumption=None)
    preprocessing = preprocessing.override(overrides.mean, overrides.std)
    return LiteRTRuntime(model, preprocessing, description=description)


def _with_features(data: bytes, familiarity: Familiarity) -> LiteRTModel | None:
    """Returns a network with the features as its second output; None if they cannot be found."""
    extended = add_output(data, TFLITE_FEATURES)
    if extended is None:
        return None
    model = LiteRTModel(extended, output_count=2)
    features = model.outputs[1]
    is_usable = features.dtype in _DTYPES and math.prod(features.shape) >= familiarity.width
    return model if is_usable else None


def _check_weights(data: bytes) -> None:
    """Raises ModelError if a TFLite file is damaged, or names other files that have its weights."""
    try:
        model = FlatbufferTable.root(data, "Model", tflite_schema.MODEL_FIELDS)
        others = model.tables("external_buffer_groups", "ExternalBufferGroup")
    except FlatbufferError as error:
        raise ModelError(str(error)) from error
    if others:
        raise ModelError("its weights are in other files")


def _describe(data: bytes, tensor: Tensor) -> tuple[Description, Preprocessing]:
    """Describes a classifier and its preprocessing.

    The metadata of this program take precedence over those that other programs write.

    Args:
        data: Content of the file.
        tensor: Input of the network.

    Raises:
        MetadataError: If the metadata or the labels cannot be read.
    """
    if METADATA_FILE in (files := _read_appended_files(data, (METADATA_FILE,))):
        metadata = from_json(files[METADATA_FILE])
        preprocessing = Preprocessing.of(metadata)
        if tensor.dtype == np.uint8:
            # The mean and std in the metadata are for float32 input. uint8 input is the pixels.
            preprocessing = _undo_quantisation(tensor, channel_order=preprocessing.channel_order)
        return describe(metadata), preprocessing
    stated = tflite_description.read(data)
    preprocessing, assumption = _resolve_preprocessing(stated.normalization, tensor)
    labels = _read_labels(data, (*stated.label_files, LABELS_FILE))
    _, height, width, _ = tensor.shape
    return Description(labels, height, width, assumption=assumption), preprocessing


def _resolve_preprocessing(
    normalization: Normalization | None, tensor: Tensor
) -> tuple[Preprocessing, str | None]:
    """Returns the preprocessing of a network's input, and what is assumed about it, if anything."""
    is_float = tensor.dtype == np.float32
    if normalization is None and is_float:
        return Preprocessing(), (
            "the file does not state how pixels are normalised, so they are divided by 255; set "
            "--input_mean and --input_std if that is wrong"
        )
    if normalization is None:
        return _undo_quantisation(tensor), (
            "the file does not state how pixels are normalised, so its "
            f"{tensor.dtype} numbers are taken for the pixels themselves"
        )
    preprocessing = Preprocessing(normalization.mean, normalization.std)
    if is_float:
        return preprocessing, None
    if not tensor.scale and tensor.dtype == np.uint8:
        # Numbers without quantisation are the pixels. The network itself normalises them.
        return _undo_quantisation(tensor), None
    # Normalised pixels are quantised like the network's input. Not all programs that write metadata
    # state the normalisation of a quantised input, since many pass the pixels themselves.
    integers = tensor.quantise(preprocessing.levels())
    if tensor.scale and len(np.unique(integers)) >= _MIN_INTEGERS:
        return preprocessing, None
    return _undo_quantisation(tensor), (
        "the normalisation in the file's metadata is not that of its input, so its "
        f"{tensor.dtype} numbers are taken for the pixels themselves"
    )


def _read_labels(data: bytes, names: Sequence[str]) -> tuple[str, ...] | None:
    """Returns the labels in the first of the named files that exists, or None."""
    files = _read_appended_files(data, names)
    for name in names:
        if name in files:
            try:
                return label_lines.parse(files[name])
            except label_lines.LabelsError as error:
                raise MetadataError(f"its {name} {error}") from error
    return None


def _read_appended_files(data: bytes, names: Sequence[str]) -> dict[str, bytes]:
    """Returns the content of those of the named files that are in a TFLite file.

    They are in a ZIP archive at the end of the file:
    https://ai.google.dev/edge/litert/conversion/tensorflow/metadata

    Raises:
        MetadataError: If the archive is damaged.
    """
    file = io.BytesIO(data)
    if not zipfile.is_zipfile(file):
        return {}
    try:
        with archives.open_zip(file) as archive:
            found = [name for name in archive.namelist() if name in names]
            return {
                name: archives.read_zip_entry(archive, name, LIMITS.labels_bytes) for name in found
            }
    except archives.ArchiveError as error:
        raise MetadataError(f"the files in its ZIP archive cannot be read: {error}") from error


def _undo_quantisation(tensor: Tensor, *, channel_order: str = "RGB") -> Preprocessing:
    """Returns the preprocessing after which the quantised numbers are the pixels themselves."""
    mean = float(tensor.zero_point - np.iinfo(tensor.dtype).min)
    return Preprocessing((mean,) * 3, (1 / tensor.step,) * 3, channel_order)
