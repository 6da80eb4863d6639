"""The metadata that every exported classifier carries, and the names in exported files."""

import dataclasses
import json
import math
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from retrain.model_limits import LIMITS

FORMAT_VERSION = 2
# Programs that read only this format would stretch the images of every classifier.
_FORMAT_WITHOUT_FIT = 1

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
# The familiarity of the images, and the scope of the operations that compute it.
GRAPH_FAMILIARITY, FAMILIARITY_SCOPE = "familiarity", "familiarity_ops"
# The files in a SavedModel's assets, and in the ZIP archives of a Keras or TFLite file.
LABELS_FILE = "labels.txt"
METADATA_FILE = "retrain_metadata.json"

# Signatures and tensors of the SavedModel, Keras and TFLite files.
PIXELS_SIGNATURE = "serving_default"
FILES_SIGNATURE = "serve_bytes"
PIXELS_INPUT = "image"
# Signatures that return the familiarity, too. A signature with a single output has a simpler answer
# in TensorFlow Serving's REST API, which clients of the signatures above expect.
PIXELS_FAMILIARITY_SIGNATURE = "familiarity"
FILES_FAMILIARITY_SIGNATURE = "familiarity_bytes"
FAMILIARITY_OUTPUT = "familiarity"
# TensorFlow Serving's REST API accepts `{"b64": ...}` for inputs whose names end in `_bytes`.
FILES_INPUT = "image_bytes"
OUTPUT = "probabilities"
# The tensor in a TFLite file that the head computes the probabilities from.
TFLITE_FEATURES = GRAPH_FEATURES

# How an image of another aspect ratio is resized; `retrain.data.pixels` has the details. Files
# without the field `fit` were made by versions that always stretched.
STRETCH, CROP, PAD = FITS = ("stretch", "crop", "pad")
# The same in words, for the descriptions of exported files.
FIT_DESCRIPTIONS = {
    STRETCH: "The aspect ratio of an image is ignored when it is resized.",
    CROP: "An image of another aspect ratio is cropped to its centre.",
    PAD: "An image of another aspect ratio is centred between black bars.",
}

_MAX_REASON = 300


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
        familiarity: How familiar an image is compared with the training images, packed by
            `retrain.runtimes.familiarity`; None if the classifier does not state it.
        fit: How images of another aspect ratio are resized, one of FITS.
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
    # Fields that files of earlier versions do not have. Each has a default, and is left out of the
    # JSON if it has this value.
    familiarity: dict[str, Any] | None = None
    fit: str = STRETCH

    def to_json(self) -> str:
        """Returns the metadata as JSON on one line. Equal metadata give equal text."""
        fields = dataclasses.asdict(self)
        for field in _optional_fields():
            if fields[field.name] == field.default:
                del fields[field.name]
        version = _FORMAT_WITHOUT_FIT if self.fit == STRETCH else FORMAT_VERSION
        return json.dumps({"format_version": version, **fields})


def from_json(text: str | bytes) -> Metadata:
    """Parses the text that `Metadata.to_json` returned. Unknown fields are ignored.

    The text can come from anyone, so the type and the range of every field are checked.

    Raises:
        MetadataError: If the text is not metadata, or has a newer format.
    """
    if len(text) > LIMITS.metadata_bytes:
        raise MetadataError(
            f"its metadata has {len(text):,} bytes, more than the limit of "
            f"{LIMITS.metadata_bytes:,}"
        )
    try:
        fields = json.loads(
            text,
            parse_float=_finite,
            parse_constant=_finite,
            object_pairs_hook=_without_duplicates,
        )
        version = fields.pop("format_version")
        if not _is_whole(version, 1, math.inf):
            raise ValueError(f"format_version is {reprlib.repr(version)}")
        if version > FORMAT_VERSION:
            raise MetadataError(
                f"its metadata has format {version}, but this program reads formats up to "
                f"{FORMAT_VERSION}"
            )
        fields = {field.name: field.default for field in _optional_fields()} | fields
        known = {field.name: fields[field.name] for field in dataclasses.fields(Metadata)}
        for name, check in _CHECKS.items():
            if not check.accepts(known[name]):
                raise ValueError(
                    f"{name} is {reprlib.repr(known[name])}, but must be {check.description}"
                )
        for name in ("labels", "folders", "mean", "std"):
            known[name] = tuple(known[name])
        return Metadata(**known)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else repr(error)
        raise MetadataError(f"its metadata cannot be read ({reason[:_MAX_REASON]})") from error


def _optional_fields() -> list[dataclasses.Field[Any]]:
    fields = dataclasses.fields(Metadata)
    return [field for field in fields if field.default is not dataclasses.MISSING]


class _Check(NamedTuple):
    """A condition for the value of a field, and its description."""

    accepts: Callable[[Any], bool]
    description: str


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is not a finite number")
    return number


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name occurs twice")
    return result


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LIMITS.label_characters


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= LIMITS.labels and all(map(_is_name, value))


def _are_labels(value: Any) -> bool:
    # A surrogate is half of a character, which cannot be printed. Names of folders can have some.
    return _are_names(value) and not any(
        "\ud800" <= character <= "\udfff" for label in value for character in label
    )


def _is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_whole(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int) and _is_number(value, low, high)


def _are_channels(value: Any, low: float) -> bool:
    is_triple = isinstance(value, list) and len(value) == 3
    return is_triple and all(_is_number(number, low, LIMITS.factor) for number in value)


_NAME = _Check(_is_name, f"text of at most {LIMITS.label_characters:,} characters")
_NAMES = _Check(
    _are_names,
    f"a list of 1 to {LIMITS.labels:,} names of at most {LIMITS.label_characters:,} characters",
)
_SIDE = _Check(
    lambda value: _is_whole(value, 1, LIMITS.image_side),
    f"a whole number from 1 to {LIMITS.image_side:,}",
)
_DICTIONARY = _Check(lambda value: isinstance(value, dict), "an object")
_CHECKS: Mapping[str, _Check] = {
    "labels": _Check(_are_labels, f"{_NAMES.description} in valid Unicode"),
    "folders": _NAMES,
    "height": _SIDE,
    "width": _SIDE,
    "mean": _Check(lambda value: _are_channels(value, -LIMITS.factor), "three numbers"),
    "std": _Check(lambda value: _are_channels(value, 1 / LIMITS.factor), "three positive numbers"),
    "channel_order": _Check(lambda value: value in ("RGB", "BGR"), "RGB or BGR"),
    "resize_method": _NAME,
    "output": _NAME,
    "backbone": _NAME,
    "fingerprint": _NAME,
    "split": _DICTIONARY,
    "test_accuracy": _Check(
        lambda value: value is None or _is_number(value, 0, 1), "a number from 0 to 1, or null"
    ),
    "training": _DICTIONARY,
    "versions": _DICTIONARY,
    "familiarity": _Check(lambda value: value is None or isinstance(value, dict), "an object"),
    "fit": _Check(lambda value: value in FITS, f"{', '.join(FITS[:-1])} or {FITS[-1]}"),
}


def labels_text(labels: Iterable[str]) -> str:
    """Returns the content of a labels file: one label per line."""
    return "".join(f"{label}\n" for label in labels)
