"""Predictions as text for people and scripts."""

import json
from collections.abc import Iterable, Sequence

from label_image.classifier import Prediction, Unreadable
from retrain.system.text import one_line


def as_text(prediction: Prediction, top: int) -> str:
    """Returns the best labels, one a line, as the original printed them."""
    return "\n".join(
        f"{one_line(label)} (score = {score:.5f})" for label, score in prediction.ranked[:top]
    )


def as_json(answers: Iterable[tuple[str, Prediction | Unreadable]], top: int) -> str:
    """Returns a JSON array with an object for each image.

    Args:
        answers: each with the name that the user gave the image.
        top: how many of the best labels each object lists.
    """
    return json.dumps([_as_object(name, answer, top) for name, answer in answers], indent=2)


def _as_object(name: str, answer: Prediction | Unreadable, top: int) -> dict[str, object]:
    if isinstance(answer, Unreadable):
        return {"image": name, "error": answer.reason}
    ranked: Sequence[tuple[str, float]] = answer.ranked[:top]
    return {
        "image": name,
        "predictions": [{"label": label, "score": round(score, 6)} for label, score in ranked],
    }
