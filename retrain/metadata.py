"""The metadata that every exported classifier carries, and the names in exported files."""

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

FORMAT_VERSION = 1

# The string constant in a frozen graph, and the user-defined field of a Core ML model, that hold
# the metadata as JSON.
GRAPH_NODE = COREML_FIELD = "retrain_metadata"
# Nodes of a frozen graph, which scripts have relied on since 2015. One takes the content of an
# image file, each of three takes normalised pixels.
GRAPH_FILE_INPUT = "DecodeJpeg/contents"
GRAPH_PIXELS_INPUT = "input"
GRAPH_PIXELS_INPUTS = ("Mul", GRAPH_PIXELS_INPUT, "Placeholder")
GRAPH_BOTTLENECK = "bottleneck"
# The bottleneck and the outputs of earlier stages, in the graph of a backbone that offers these.
GRAPH_FEATURES = "all_features"
GRAPH_OUTPUT = "final_result"
# The files in a SavedModel's assets, and in the ZIP archives of a Keras or TFLite file.
LABELS_FILE = "labels.txt"
METADATA_FILE = "retrain_metadata.json"

# Signatures and tensors of the SavedModel, Keras and TFLite files.
PIXELS_SIGNATURE = "serving_default"
FILES_SIGNATURE = "serve_bytes"
PIXELS_INPUT = "image"
# TensorFlow Serving's REST API accepts `{"b64": ...}` for inputs whose names end in `_bytes`.
FILES_INPUT = "image_bytes"
OUTPUT = "probabilities"


class MetadataError(Exception):
    """The JSON is not metadata that this version can read. The message says why."""


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What programs need to use a classifier, and what people want to know about it.

    Attributes:
        labels: Class labels in output order.
        folders: Name of the folder that each label comes from.
        height: Height of the input images in pixels.
        width: Width of the input images in pixels.
        mean: Mean to subtract from each input channel, in units of 0 to 255.
        std: Standard deviation to divide each channel by after that, in units of 0 to 255.
        channel_order: Order of the input channels, "RGB" or "BGR".
        resize_method: How images are resized to the input size; see `retrain.data.pixels.decode`.
        output: Name of the output. For a frozen graph, the name of a tensor without `:0`.
        backbone: Name of the backbone.
        fingerprint: Fingerprint of the backbone.
        split: How the images were split, and the number of images in each split.
        test_accuracy: Accuracy on the test split, 0 to 1; None if the split is empty.
        training: How the head was trained.
        versions: Versions of this program, of its preprocessing, and of the libraries it used.
    """

    labels: tuple[str, ...]
    folders: tuple[str, ...]
    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channel_order: str
    resize_method: str
    output: str
    backbone: str
    fingerprint: str
    split: dict[str, Any]
    test_accuracy: float | None
    training: dict[str, Any]
    versions: dict[str, Any]

    def to_json(self) -> str:
        """Returns the metadata as JSON on one line. Equal metadata give equal text."""
        return json.dumps({"format_version": FORMAT_VERSION, **dataclasses.asdict(self)})


def from_json(text: str | bytes) -> Metadata:
    """Parses the text that `Metadata.to_json` returned. Unknown fields are ignored.

    Raises:
        MetadataError: If the text is not metadata, or has a newer format.
    """
    try:
        fields = json.loads(text)
        version = fields.pop("format_version")
        if version > FORMAT_VERSION:
            raise MetadataError(
                f"its metadata has format {version}, but this program reads formats up to "
                f"{FORMAT_VERSION}"
            )
        known = {field.name: fields[field.name] for field in dataclasses.fields(Metadata)}
        for name in ("labels", "folders", "mean", "std"):
            known[name] = tuple(known[name])
        return Metadata(**known)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MetadataError(f"its metadata cannot be read ({error!r})") from error


def labels_text(labels: Iterable[str]) -> str:
    """Returns the content of a labels file: one label per line."""
    return "".join(f"{label}\n" for label in labels)
