"""Metadata in TFLite files, as Android's Task Library and MediaPipe read them.

A table of the specification is a buffer of the network, and the files that it names are in a ZIP
archive behind the network: https://ai.google.dev/edge/litert/conversion/tensorflow/metadata
"""

import io
import zipfile
from typing import Any, NamedTuple

import flatbuffers
import numpy as np

from retrain.export.tflite_editor import INPUT, OUTPUT, Network
from retrain.metadata import Metadata, from_json

LABELS_FILE = "labels.txt"
METADATA_FILE = "retrain_metadata.json"

_BUFFER = "TFLITE_METADATA"
_IDENTIFIER = b"M001"
# The version of the specification that first had all that is written here.
_PARSER_VERSION = "1.0.0"

# The tables that are written, with their fields in the order of the specification:
# https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs
_FIELDS = {
    "ModelMetadata": (
        *("name", "description", "version", "subgraph_metadata", "author", "license"),
        *("associated_files", "min_parser_version"),
    ),
    "SubGraphMetadata": (
        *("name", "description", "input_tensor_metadata", "output_tensor_metadata"),
    ),
    "TensorMetadata": (
        *("name", "description", "dimension_names", "content", "process_units", "stats"),
        *("associated_files",),
    ),
    "Content": ("content_properties_type", "content_properties"),
    "FeatureProperties": (),
    "ImageProperties": ("color_space", "default_size"),
    "ImageSize": ("width", "height"),
    "ProcessUnit": ("options_type", "options"),
    "NormalizationOptions": ("mean", "std"),
    "Stats": ("max", "min"),
    "AssociatedFile": ("name", "description", "type"),
}


class _Number(NamedTuple):
    kind: str  # As flatbuffers.Builder calls it.
    value: int


# Members of unions and enumerations.
_IMAGE_PROPERTIES, _FEATURE_PROPERTIES = _Number("Uint8", 2), _Number("Uint8", 1)
_NORMALIZATION_OPTIONS = _Number("Uint8", 1)
_RGB = _Number("Int8", 1)
_DESCRIPTIONS, _TENSOR_AXIS_LABELS = _Number("Int8", 1), _Number("Int8", 2)

# The same classifier gives the same bytes at any time.
_TIME = (1980, 1, 1, 0, 0, 0)


class _Table(NamedTuple):
    name: str
    fields: dict[str, Any]  # Texts, numbers, tables, arrays of float32, and lists of tables.


def add(network: Network, metadata: Metadata) -> bytes:
    """Returns the TFLite file with metadata, labels and all that we say of a classifier inside.

    Args:
        network: complete, from pixels to probabilities.
        metadata: that fit its input, which takes RGB: the mean is 0 and the std 1 where that is
            uint8.
    """
    network.add_metadata(_BUFFER, _to_flatbuffer(metadata))
    result = io.BytesIO(network.to_bytes())
    result.seek(0, io.SEEK_END)
    labels = "".join(f"{label}\n" for label in metadata.labels)
    # Readers want the files as they are, not compressed.
    with zipfile.ZipFile(result, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(LABELS_FILE, _TIME), labels.encode())
        archive.writestr(zipfile.ZipInfo(METADATA_FILE, _TIME), metadata.to_json().encode())
    return result.getvalue()


def read(flatbuffer: bytes) -> Metadata:
    """Returns the metadata that `add` was given, from what it returned."""
    with zipfile.ZipFile(io.BytesIO(flatbuffer)) as archive:
        return from_json(archive.read(METADATA_FILE))


def _to_flatbuffer(metadata: Metadata) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(_write(builder, _model(metadata)), _IDENTIFIER)
    return bytes(builder.Output())


def _model(metadata: Metadata) -> _Table:
    subgraph = _Table(
        "SubGraphMetadata",
        {
            "input_tensor_metadata": [_image(metadata)],
            "output_tensor_metadata": [_scores()],
        },
    )
    return _Table(
        "ModelMetadata",
        {
            "name": "Image classifier",
            "description": f"Tells apart: {', '.join(metadata.labels)}.",
            "subgraph_metadata": [subgraph],
            "associated_files": [_file(METADATA_FILE, "All of it as JSON.", _DESCRIPTIONS)],
            "min_parser_version": _PARSER_VERSION,
        },
    )


def _image(metadata: Metadata) -> _Table:
    mean, std = np.array(metadata.mean, np.float32), np.array(metadata.std, np.float32)
    size = {
        "width": _Number("Uint32", metadata.width),
        "height": _Number("Uint32", metadata.height),
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
            "name": INPUT,
            "description": "The image, in RGB.",
            "content": _Table("Content", content),
            "process_units": [_Table("ProcessUnit", normalisation)],
            "stats": _Table("Stats", {"max": (255 - mean) / std, "min": -mean / std}),
        },
    )


def _scores() -> _Table:
    content = {
        "content_properties_type": _FEATURE_PROPERTIES,
        "content_properties": _Table("FeatureProperties", {}),
    }
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    return _Table(
        "TensorMetadata",
        {
            "name": OUTPUT,
            "description": "How likely each label is.",
            "content": _Table("Content", content),
            "stats": _Table("Stats", {"max": one, "min": zero}),
            "associated_files": [_file(LABELS_FILE, "One label a line.", _TENSOR_AXIS_LABELS)],
        },
    )


def _file(name: str, description: str, kind: _Number) -> _Table:
    return _Table("AssociatedFile", {"name": name, "description": description, "type": kind})


def _write(builder: flatbuffers.Builder, value: Any) -> int:
    """Writes all but a number, which belongs into its table; returns where it is."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, np.ndarray):
        return builder.CreateNumpyVector(value)
    if isinstance(value, list):
        return _write_list(builder, [_write(builder, item) for item in value])
    return _write_table(builder, value)


def _write_list(builder: flatbuffers.Builder, places: list[int]) -> int:
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return builder.EndVector()


def _write_table(builder: flatbuffers.Builder, table: _Table) -> int:
    names = _FIELDS[table.name]
    numbers = {name: v for name, v in table.fields.items() if isinstance(v, _Number)}
    places = {name: _write(builder, v) for name, v in table.fields.items() if name not in numbers}
    builder.StartObject(len(names))
    for name, number in numbers.items():
        getattr(builder, f"Prepend{number.kind}Slot")(names.index(name), number.value, 0)
    for name, place in places.items():
        builder.PrependUOffsetTRelativeSlot(names.index(name), place, 0)
    return builder.EndObject()
