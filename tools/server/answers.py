"""What the server says of an image, as programs read it."""

from typing import TypedDict

from label_image.classifier import Prediction, UnreadableImage


class Label(TypedDict):
    """A label and how sure the classifier is, 0 to 100."""

    label: str
    percentage: float


class Answer(TypedDict, total=False):
    """The answer for one image: its labels, the best first, or why there are none."""

    name: str
    labels: list[Label]
    error: str
    milliseconds: float


def answer(
    name: str, classified: Prediction | UnreadableImage, milliseconds: float, top: int | None
) -> Answer:
    """Returns the answer for the image called `name`.

    Args:
        name: as the sender called it.
        classified: what the classifier said.
        milliseconds: how long it took from decoding on.
        top: how many labels to tell, None for all.
    """
    if isinstance(classified, UnreadableImage):
        return {"name": name, "error": classified.reason}
    labels: list[Label] = [
        {"label": label, "percentage": round(100 * score, 3)}
        for label, score in classified.ranked[:top]
    ]
    return {"name": name, "labels": labels, "milliseconds": round(milliseconds, 1)}
