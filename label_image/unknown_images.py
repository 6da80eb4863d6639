"""Decides which images show none of the classes of a classifier."""

import logging
from pathlib import Path

from retrain.errors import UserError
from retrain.runtimes.familiarity import UNKNOWN_BELOW


def resolve_threshold(graph: Path, wanted: float | None, *, has_familiarity: bool) -> float | None:
    """Returns the familiarity below which an image is unknown.

    Args:
        graph: Path of the classifier, for messages.
        wanted: Threshold that the user set, 0 to 1; None for the default.
        has_familiarity: Whether the classifier states how familiar images are.

    Returns:
        The threshold, or None if the classifier does not state how familiar images are.

    Raises:
        UserError: If the user set a threshold for a classifier that cannot have one.
    """
    if has_familiarity:
        return UNKNOWN_BELOW if wanted is None else wanted
    if wanted:
        raise UserError(
            f"--unknown_below={wanted:g} needs a classifier that states how familiar images are, "
            f"but {graph} does not; train it with this version, or leave the flag out"
        )
    return None


def log_if_undecidable(graph: Path, threshold: float | None, wanted: float | None) -> None:
    """Logs that images of other things get a class, too, unless the user has asked for that.

    Args:
        graph: Path of the classifier.
        threshold: What `resolve_threshold` returned.
        wanted: Threshold that the user set; None for the default.
    """
    if threshold is None and wanted is None:
        logging.info(
            "%s does not state how familiar images are, so an image of anything else gets one of "
            "its classes, too; to recognise such images, train it again with this version",
            graph,
        )
