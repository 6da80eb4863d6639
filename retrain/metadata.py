"""What an exported classifier says of itself: one JSON text in every kind of file."""

import dataclasses
import json
from typing import Any

FORMAT_VERSION = 1

# The string constant in a frozen graph that holds the text.
GRAPH_NODE = "retrain_metadata"


class MetadataError(Exception):
    """The text is not metadata that this version reads; the message says why."""


@dataclasses.dataclass(frozen=True)
class Metadata:
    """All that a program must know to use the classifier, and what a person may want to.

    Attributes:
        labels: the classes, in the order of the output.
        folders: the name of the folder that each label comes from.
        height: of the images that the network takes, in pixels.
        width: of the images that the network takes, in pixels.
        mean: of each channel, in units of 0 to 255; subtracted first.
        std: of each channel; what is divided by then.
        channel_order: "RGB" or "BGR".
        resize_method: how images are brought to that size; see `retrain.data.pixels.decode`.
        output: the name of the output, without `:0` where it is a tensor.
        backbone: its name.
        fingerprint: of the backbone.
        split: how images were divided, and how many each part has.
        test_accuracy: 0 to 1, or None where no image was held out.
        training: how the head was trained.
        versions: of the program's format of preprocessing and of the libraries that it used.
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
        """Returns the text, on one line, the same for equal metadata."""
        return json.dumps({"format_version": FORMAT_VERSION, **dataclasses.asdict(self)})


def from_json(text: str | bytes) -> Metadata:
    """Returns what `Metadata.to_json` wrote; fields that this version does not know are left out.

    Raises:
        MetadataError: it is no such text, of a newer format, or contradicts itself.
    """
    try:
        fields = json.loads(text)
        its_format = fields.pop("format_version")
        if its_format > FORMAT_VERSION:
            raise MetadataError(
                f"its metadata is of format {its_format}, this program reads up to {FORMAT_VERSION}"
            )
        known = {field.name: fields[field.name] for field in dataclasses.fields(Metadata)}
        for name in ("labels", "folders", "mean", "std"):
            known[name] = tuple(known[name])
        return Metadata(**known)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MetadataError(f"its metadata cannot be read ({error!r})") from error
