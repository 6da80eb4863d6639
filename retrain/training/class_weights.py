"""Parses --class_weights: how much each class counts in training."""

from collections.abc import Sequence

import numpy as np

from retrain.errors import UserError

BALANCED = "balanced"
BY_PICTURES = "by_pictures"

_VALID = f"use {BALANCED}, {BY_PICTURES}, or a list such as label=2,another=0.5"


def check(text: str) -> None:
    """Raises UserError if `text` cannot be parsed. `check_labels` also checks its labels."""
    if text not in (BALANCED, BY_PICTURES):
        _parse(text)


def check_labels(text: str, labels: Sequence[str], folders: Sequence[str]) -> None:
    """Raises UserError if `text` contains a name that is neither a label nor a folder."""
    if text not in (BALANCED, BY_PICTURES):
        _weight_of_each_label(text, labels, folders)


def compute_shares(
    text: str, labels: Sequence[str], counts: np.ndarray, *, folders: Sequence[str] = ()
) -> np.ndarray:
    """Returns the share of each class in the training loss, float64 [classes] with sum 1.

    Args:
        text: BALANCED for equal shares, BY_PICTURES for shares proportional to the number of
            images, or `label=number,...` for multiples of the share of all other classes.
        labels: Labels of the classes.
        counts: Number of training images of each class, int [classes], all positive.
        folders: Folder names of the classes, which `text` may use in place of labels.

    Raises:
        UserError: If `text` cannot be parsed, or contains an unknown label.
    """
    if text == BY_PICTURES:
        return counts / counts.sum()
    weights = dict.fromkeys(labels, 1.0)
    if text != BALANCED:
        weights |= _weight_of_each_label(text, labels, folders)
    result = np.array([weights[label] for label in labels])
    # Scale first: the sum of very large weights would overflow.
    result /= result.max()
    return result / result.sum()


def _weight_of_each_label(
    text: str, labels: Sequence[str], folders: Sequence[str]
) -> dict[str, float]:
    # If a name is the label of one class and the folder of another, it means the label.
    label_of_name = dict(zip(folders, labels, strict=False)) | {label: label for label in labels}
    weights: dict[str, float] = {}
    for name, weight in _parse(text).items():
        if name not in label_of_name:
            raise UserError(
                f"--class_weights={text} contains {name!r}, which is not a label; the labels are: "
                f"{', '.join(labels)}"
            )
        if label_of_name[name] in weights:
            raise UserError(
                f"--class_weights={text} contains {label_of_name[name]!r} twice; {_VALID}"
            )
        weights[label_of_name[name]] = weight
    return weights


def _parse(text: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for pair in text.split(","):
        label, _, number = pair.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = 0.0
        label = label.strip()
        if not label or label in weights or not 0 < weight < float("inf"):
            raise UserError(f"--class_weights={text} cannot be parsed at {pair!r}; {_VALID}")
        weights[label] = weight
    return weights
