"""Chooses between the labels in a file that the user names and those in the classifier."""

import logging
from collections.abc import Sequence
from pathlib import Path

from retrain.errors import UserError
from retrain.runtimes import label_lines
from retrain.system.text import one_line


def resolve(graph: Path, file: Path | None, described: tuple[str, ...] | None) -> tuple[str, ...]:
    """Returns the labels in the user's file or, without one, those in the classifier.

    Args:
        graph: Path of the classifier.
        file: File that `--labels` names, with one label per line.
        described: Labels in the classifier, if it contains any.

    Raises:
        UserError: If there are no labels, the file cannot be used, or it belongs to another
            classifier.
    """
    if file is None:
        if described is None:
            raise UserError(
                f"--labels is needed: the graph {graph} does not contain labels; give a file with "
                "one label per line"
            )
        return described
    labels = label_lines.read(file, flag="labels")
    if described is not None:
        check(f"--labels={file}", labels, graph, described)
    return labels


def check(flag: str, labels: Sequence[str], graph: Path, described: Sequence[str]) -> None:
    """Checks that labels do not belong to another classifier.

    Texts that the classifier does not contain, such as translations, are accepted. One of its own
    labels must have its own place.

    Args:
        flag: The user's flag, for messages.
        labels: Labels that the user gives.
        graph: Path of the classifier.
        described: Labels in the classifier.

    Raises:
        UserError: If their number is different, or one has the place of another.
    """
    advice = "leave the flag out, since the graph contains its labels"
    if len(described) != len(labels):
        raise UserError(
            f"{flag} and the graph {graph} have different numbers of labels: {len(labels)} and "
            f"{len(described)}; {advice}"
        )
    own = set(described)
    for number, (label, expected) in enumerate(zip(labels, described, strict=True), start=1):
        if label != expected and label in own:
            raise UserError(
                f"{flag} belongs to another classifier: label {number} is {one_line(label)}, but "
                f"in the graph {graph} it is {one_line(expected)}; {advice}"
            )
    if not own.intersection(labels):
        logging.warning(
            "None of the labels in %s is in the graph %s, whose first label is %s; they are used "
            "in this order.",
            *(flag, graph, one_line(described[0])),
        )
