"""Describes a TFLite model for Android's Task Library and MediaPipe.

Their metadata is a buffer of the model, whose format is a flatbuffer of its own. The files that it
names are in a ZIP archive after the model:
https://ai.google.dev/edge/litert/conversion/tensorflow/metadata
"""

import io
import zipfile
from typing import Any, NamedTuple

import flatbuffers
import numpy as np

from retrain.export import archive
from retrain.export.tflite_editor import EditableModel
from retrain.metadata import (
    FIT_DESCRIPTIONS,
    LABELS_FILE,
    METADATA_FILE,
    OUTPUT,
    PIXELS_INPUT,
    Metadata,
)
from retrain.runtimes import tflite_schema

# The first version of the specification that contains all fields written here.
_PARSER_VERSION = "1.0.0"


class _Scalar(NamedTuple):
    kind: str  # As in the method name `Builder.Prepend{kind}Slot`.
    value: int


_IMAGE_PROPERTIES = _Scalar("Uint8", tflite_schema.IMAGE_PROPERTIES)
_FEATURE_PROPERTIES = _Scalar("Uint8", tflite_schema.FEATURE_PROPERTIES)
_NORMALIZATION_OPTIONS = _Scalar("Uint8", tflite_schema.NORMALIZATION_OPTIONS)
_RGB = _Scalar("Int8", tflite_schema.RGB)
_DESCRIPTIONS = _Scalar("Int8", tflite_schema.DESCRIPTIONS)
_TENSOR_AXIS_LABELS = _Scalar("Int8", tflite_schema.TENSOR_AXIS_LABELS)


class _Table(NamedTuple):
    name: str
    fields: dict[str, Any]  # Strings, scalars, tables, float32 arrays, and lists of tables.


def add(model: EditableModel, metadata: Metadata) -> bytes:
    """Returns the TFLite file with both kinds of metadata and the labels.

    Args:
        model: Model from pixels to probabilities.
        metadata: Metadata that describes the model's RGB input: for a uint8 input, the mean is 0
            and the std is 1.
    """
    model.add_metadata(tflite_schema.BUFFER, _to_flatbuffer(metadata))
    result = io.BytesIO(model.to_bytes())
    result.seek(0, io.SEEK_END)
    with zipfile.ZipFile(result, "a") as file:
        archive.add_description(file, metadata)
    return result.getvalue()


def _to_flatbuffer(metadata: Metadata) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(_write(builder, _describe_model(metadata)), tflite_schema.IDENTIFIER)
    return bytes(builder.Output())


def _describe_model(metadata: Metadata) -> _Table:
    subgraph = _Table(
        "SubGraphMetadata",
        {
            "input_tensor_metadata": [_describe_image(metadata)],
            "output_tensor_metadata": [_describe_scores()],
        },
    )
    return _Table(
        "ModelMetadata",
        {
            "name": "Image classifier",
            "description": f"Classifies images as: {', '.join(metadata.labels)}.",
            "subgraph_metadata": [subgraph],
            "associated_files": [_describe_file(METADATA_FILE, "Metadata as JSON.", _DESCRIPTIONS)],
            "min_parser_version": _PARSER_VERSION,
        },
    )


def _describe_image(metadata: Metadata) -> _Table:
    mean, std = np.array(metadata.mean, np.float32), np.array(metadata.std, np.float32)
    size = {
        "width": _Scalar("Uint32", metadata.width),
        "height": _Scalar("Uint32", metadata.height),
    }
    properties = {"color_space": _RGB, "default_size": _Table("ImageSize", size)}
    content = {
        "content_properties_type": _IMAGE_PROPERTIES,
        "content_properties": _Table("ImageProperties", properties),
    }
    normalisation = {
        "options_type": _NORMALIZATION_OPTIONS,
        "options": _Table("NormalizationOptions", {"mean": mean, "std": std}),
    }
    return _Table(
        "TensorMetadata",
        {
            "name": PIXELS_INPUT,
            "description": f"An RGB image. {FIT_DESCRIPTIONS[metadata.fit]}",
            "content": _Table("Content", content),
            "process_units": [_Table("ProcessUnit", normalisation)],
            "stats": _Table("Stats", {"max": (255 - mean) / std, "min": -mean / std}),
        },
    )


def _describe_scores() -> _Table:
    content = {
        "content_properties_type": _FEATURE_PROPERTIES,
        "content_properties": _Table("FeatureProperties", {}),
    }
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    return _Table(
        "TensorMetadata",
        {
            "name": OUTPUT,
            "description": "Probability of each label.",
            "content": _Table("Content", content),
            "stats": _Table("Stats", {"max": one, "min": zero}),
            "associated_files": [
                _describe_file(LABELS_FILE, "One label per line.", _TENSOR_AXIS_LABELS)
            ],
        },
    )


def _describe_file(name: str, description: str, kind: _Scalar) -> _Table:
    return _Table("AssociatedFile", {"name": name, "description": description, "type": kind})


def _write(builder: flatbuffers.Builder, value: Any) -> int:
    """Writes a value that is not a scalar. Returns its offset."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, np.ndarray):
        return builder.CreateNumpyVector(value)
    if isinstance(value, list):
        return _write_list(builder, [_write(builder, item) for item in value])
    return _write_table(builder, value)


def _write_list(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _write_table(builder: flatbuffers.Builder, table: _Table) -> int:
    names = tflite_schema.FIELDS[table.name]
    scalars = {name: v for name, v in table.fields.items() if isinstance(v, _Scalar)}
    offsets = {name: _write(builder, v) for name, v in table.fields.items() if name not in scalars}
    builder.StartObject(len(names))
    for name, scalar in scalars.items():
        getattr(builder, f"Prepend{scalar.kind}Slot")(names.index(name), scalar.value, 0)
    for name, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(names.index(name), offset, 0)
    return builder.EndObject()
