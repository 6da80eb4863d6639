"""Reads how TFLite metadata, which MediaPipe and other programs use, describe input and labels.

The specification: https://ai.google.dev/edge/litert/conversion/tensorflow/metadata
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from retrain.metadata import MetadataError
from retrain.model_limits import LIMITS
from retrain.runtimes import tflite_schema
from retrain.runtimes.flatbuffer_table import FlatbufferError, FlatbufferTable
from retrain.runtimes.preprocessing import Channels

_CHANNELS = 3


class Normalization(NamedTuple):
    """The normalisation of pixels: `(pixel - mean) / std`.

    Attributes:
        mean: Mean to subtract from each input channel, in units of 0 to 255.
        std: Standard deviation to divide each channel by after that, in units of 0 to 255.
    """

    mean: Channels
    std: Channels


@dataclasses.dataclass(frozen=True)
class TFLiteDescription:
    """What the TFLite metadata of a classifier state.

    Attributes:
        normalization: Normalisation of the input; None if the metadata do not state it.
        label_files: Names of the files with the labels of the outputs, the preferred one first.
    """

    normalization: Normalization | None = None
    label_files: tuple[str, ...] = ()


def read(data: bytes) -> TFLiteDescription:
    """Returns what the TFLite metadata in a file state about its only input and output.

    Args:
        data: Content of a TFLite file.

    Raises:
        MetadataError: If the metadata are damaged, or their normalisation cannot be used.
    """
    try:
        content = _find_buffer(data)
        if content is None:
            return TFLiteDescription()
        if content[4:8] != tflite_schema.IDENTIFIER:
            raise FlatbufferError("they have another format")
        model = FlatbufferTable.root(content, "ModelMetadata", tflite_schema.FIELDS)
        return TFLiteDescription(_read_normalization(model), _read_label_files(model))
    except FlatbufferError as error:
        raise MetadataError(f"its TFLite metadata cannot be read: {error}") from error


def _find_buffer(data: bytes) -> bytes | None:
    """Returns the flatbuffer with the metadata, or None if there is none."""
    model = FlatbufferTable.root(data, "Model", tflite_schema.MODEL_FIELDS)
    buffers = model.tables("buffers", "Buffer")
    for entry in model.tables("metadata", "Metadata"):
        if entry.text("name") == tflite_schema.BUFFER:
            index = entry.number("buffer", "I")
            if index >= len(buffers):
                raise FlatbufferError("their buffer does not exist")
            offset, size = (buffers[index].number(name, "Q") for name in ("offset", "size"))
            # Some programs store the content of buffers after the flatbuffer.
            return data[offset : offset + size] if offset > 1 else buffers[index].data("data")
    return None


def _read_normalization(model: FlatbufferTable) -> Normalization | None:
    """Returns the normalisation of the first input, or None."""
    mean, std = np.zeros(_CHANNELS), np.ones(_CHANNELS)
    is_stated = False
    for tensor in _first_tensor(model, "input_tensor_metadata"):
        for unit in tensor.tables("process_units", "ProcessUnit"):
            if unit.number("options_type", "B") == tflite_schema.NORMALIZATION_OPTIONS:
                options = unit.table("options", "NormalizationOptions")
                next_mean, next_std = (_per_channel(options, name) for name in ("mean", "std"))
                # Units are applied in their order: ((x - mean) / std - next_mean) / next_std.
                mean, std = mean + next_mean * std, std * next_std
                is_stated = True
    if not is_stated:
        return None
    largest = np.abs([mean, std, 1 / std]).max()
    if not largest <= LIMITS.factor:
        raise MetadataError(
            f"its TFLite metadata state a normalisation with {largest:g}, which cannot be used"
        )
    (mean_1, mean_2, mean_3), (std_1, std_2, std_3) = mean.tolist(), std.tolist()
    return Normalization((mean_1, mean_2, mean_3), (std_1, std_2, std_3))


def _per_channel(options: FlatbufferTable | None, field: str) -> np.ndarray:
    """Returns one value per channel. A single value in the metadata stands for all channels."""
    values = options.floats(field).astype(np.float64) if options else np.zeros(0)
    if len(values) not in (1, _CHANNELS):
        raise MetadataError(
            f"its TFLite metadata have {len(values)} values of {field} instead of 1 or {_CHANNELS}"
        )
    if not np.isfinite(values).all() or (field == "std" and not values.all()):
        raise MetadataError(
            f"its TFLite metadata state a {field} of {', '.join(f'{v:g}' for v in values)}, "
            "which cannot be used"
        )
    return np.broadcast_to(values, _CHANNELS)


def _read_label_files(model: FlatbufferTable) -> tuple[str, ...]:
    owners = [
        *_first_tensor(model, "output_tensor_metadata"),
        *model.tables("subgraph_metadata", "SubGraphMetadata")[:1],
        model,
    ]
    # A file for each language can follow the first one, which names the classes.
    return tuple(
        file.text("name")
        for owner in owners
        for file in owner.tables("associated_files", "AssociatedFile")
        if file.number("type", "b") == tflite_schema.TENSOR_AXIS_LABELS
    )


def _first_tensor(model: FlatbufferTable, field: str) -> list[FlatbufferTable]:
    """Returns the first of the tensors in a field of the first subgraph, or an empty list."""
    subgraphs = model.tables("subgraph_metadata", "SubGraphMetadata")[:1]
    return [tensor for graph in subgraphs for tensor in graph.tables(field, "TensorMetadata")[:1]]
