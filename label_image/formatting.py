"""Formats classification results as text and as JSON."""

import json
from collections.abc import Iterable
from typing import TypedDict

from label_image.classifier import Prediction, UnreadableImage
from retrain.system.text import one_line

# Digits after the point of a score in JSON.
_SCORE_DIGITS = 6
# Significant digits of a familiarity, since the least familiar images differ only in small numbers.
_FAMILIARITY_DIGITS = 6


class LabelScore(TypedDict):
    """A label and its score, 0 to 1."""

    label: str
    score: float


class ImageResult(TypedDict, total=False):
    """The JSON object of one image: its labels, the best first, or the reason for having none.

    `predictions` is an older name of `labels` and holds the same list. `familiarity` and `unknown`
    are missing if the classifier does not state how familiar images are.
    """

    image: str
    labels: list[LabelScore]
    predictions: list[LabelScore]
    familiarity: float
    unknown: bool
    error: str


def as_text(prediction: Prediction, top: int, *, unknown_below: float | None = None) -> str:
    """Returns the `top` best labels with their scores, one per line.

    If the image is unknown, a last line says so. It does not come first, since scripts have always
    read the best label from the first line, and a few images of the classes are unknown, too.

    Args:
        prediction: Result for an image.
        top: Number of labels.
        unknown_below: Familiarity below which images are unknown.
    """
    lines = [f"{one_line(label)} (score = {score:.5f})" for label, score in prediction.ranked[:top]]
    if prediction.is_unknown:
        lines.append(
            f"none of these: familiarity {prediction.familiarity:.5f}, below {unknown_below:g}"
        )
    return "\n".join(lines)


def rounded_familiarity(familiarity: float) -> float:
    """Returns a familiarity with the number of digits that is worth writing."""
    return float(f"{familiarity:.{_FAMILIARITY_DIGITS}g}")


def as_object(name: str, result: Prediction | UnreadableImage, top: int | None) -> ImageResult:
    """Returns the JSON object of one image.

    Args:
        name: Name that the user gave the image.
        result: Result of `Classifier.classify` for the image.
        top: Number of labels to include; None includes all.
    """
    if isinstance(result, UnreadableImage):
        return {"image": name, "error": result.reason}
    labels: list[LabelScore] = [
        {"label": label, "score": round(score, _SCORE_DIGITS)}
        for label, score in result.ranked[:top]
    ]
    fields: ImageResult = {"image": name, "labels": labels, "predictions": labels}
    if result.familiarity is not None:
        fields["familiarity"] = rounded_familiarity(result.familiarity)
        fields["unknown"] = result.is_unknown
    return fields


def as_json(results: Iterable[tuple[str, Prediction | UnreadableImage]], top: int) -> str:
    """Returns a JSON array with one object per image.

    Args:
        results: Name and result of each image.
        top: Number of labels in each object.
    """
    return json.dumps([as_object(name, result, top) for name, result in results], indent=2)
