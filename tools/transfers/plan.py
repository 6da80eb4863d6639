"""Describes what is planned for an image, as a journal records it."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is planned for an image, or what became of it.

    The order of the fields is part of the file format.

    Attributes:
        image: Path of the image relative to the source folder.
        target: New path relative to the target folder, None if the image is not transferred.
        label: Best label, None if the image could not be read.
        score: Score of the best label, 0 to 1.
        error: Why the image is not transferred, None if it is.
        scores: Scores of all labels in the order of the labels. Empty unless requested.
        digest: Result of `digests.of_image`, None if the image is not transferred. Files of
            earlier versions do not have it.
        familiarity: Familiarity of the image, 0 to 1. None if it could not be read, the classifier
            does not state it, or an earlier version planned it.
        is_unknown: Whether the image shows none of the classes.
    """

    image: str
    target: str | None = None
    label: str | None = None
    score: float | None = None
    error: str | None = None
    scores: Sequence[float] = ()
    digest: str | None = None
    familiarity: float | None = None
    is_unknown: bool = False
