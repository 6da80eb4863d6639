"""Builds the server's JSON object of one image."""

from typing import Any

from label_image.classifier import Prediction, UnreadableImage
from label_image.formatting import as_object

_PERCENTAGE_DIGITS = 3


def image_result(
    name: str, result: Prediction | UnreadableImage, *, milliseconds: float, top: int | None
) -> dict[str, Any]:
    """Returns the object that label_image prints, with the time and the server's older keys.

    The older keys are `name`, the same as `image`, and `percentage`, the score times 100.

    Args:
        name: File name given by the client.
        result: Result of the classifier.
        milliseconds: Time for decoding and classifying the image.
        top: Number of labels to include; None includes all.
    """
    fields: dict[str, Any] = {**as_object(name, result, top), "name": name}
    if isinstance(result, UnreadableImage):
        return fields
    labels = [
        {**label, "percentage": round(100 * score, _PERCENTAGE_DIGITS)}
        for label, (_, score) in zip(fields["labels"], result.ranked, strict=False)
    ]
    fields |= {"labels": labels, "predictions": labels, "milliseconds": round(milliseconds, 1)}
    return fields
