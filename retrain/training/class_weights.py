"""How much each class counts in the training, whatever number of images it has."""

from collections.abc import Sequence

import numpy as np

from retrain.errors import UserError

BALANCED = "balanced"
BY_PICTURES = "by_pictures"

_HELP = f"give {BALANCED}, {BY_PICTURES}, or some like label=2,another=0.5"


def check(text: str) -> None:
    """Raises UserError where `text` could not be the weights of any classes."""
    if text not in (BALANCED, BY_PICTURES):
        _parsed(text)


def check_labels(text: str, labels: Sequence[str], folders: Sequence[str]) -> None:
    """Raises UserError where `text` names what is neither a label nor its folder."""
    if text not in (BALANCED, BY_PICTURES):
        _by_label(text, labels, folders)


def shares(
    text: str, labels: Sequence[str], counts: np.ndarray, folders: Sequence[str] = ()
) -> np.ndarray:
    """Returns each class's part of what is learned from, float64 [classes] with the sum 1.

    Args:
        text: BALANCED gives all classes the same part, BY_PICTURES one that grows with their
            images, and `label=number,...` so many times the part that others have.
        labels: of the classes.
        counts: training images of each class, int [classes], all more than 0.
        folders: of the classes, whose names stand for their labels in `text`, too.

    Raises:
        UserError: the text is none of these, or names a label that there is not.
    """
    if text == BY_PICTURES:
        return counts / counts.sum()
    weights = dict.fromkeys(labels, 1.0)
    if text != BALANCED:
        weights |= _by_label(text, labels, folders)
    result = np.array([weights[label] for label in labels])
    # The sum of very large numbers would be infinite.
    result /= result.max()
    return result / result.sum()


def _by_label(text: str, labels: Sequence[str], folders: Sequence[str]) -> dict[str, float]:
    # Where one class's label is another one's folder, it means the label.
    label_of = dict(zip(folders, labels, strict=False)) | {label: label for label in labels}
    weights: dict[str, float] = {}
    for name, weight in _parsed(text).items():
        if name not in label_of:
            raise UserError(
                f"--class_weights={text} names {name!r}, which is no label; there are: "
                f"{', '.join(labels)}"
            )
        if label_of[name] in weights:
            raise UserError(f"--class_weights={text} names {label_of[name]!r} twice; {_HELP}")
        weights[label_of[name]] = weight
    return weights


def _parsed(text: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for pair in text.split(","):
        label, _, number = pair.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = 0.0
        label = label.strip()
        if not label or label in weights or not 0 < weight < float("inf"):
            raise UserError(f"--class_weights={text} cannot be read at {pair!r}; {_HELP}")
        weights[label] = weight
    return weights
