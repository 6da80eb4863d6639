"""Describes what became of each image of a run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.guess import transfer
from tools.guess.plan import Plan

# What a run did to an image, by the operation.
ACTIONS = {
    transfer.COPY: "copied",
    transfer.MOVE: "moved",
    transfer.HARD_LINK: "hard-linked",
    transfer.SYMBOLIC_LINK: "linked",
}
OPERATIONS = {action: operation for operation, action in ACTIONS.items()}
# Action of a dry run.
PLANNED = "planned"


@dataclass(frozen=True)
class Result:
    """What became of one image.

    Attributes:
        image: Original path of the image.
        target: New path of the image, None if it was not transferred.
        action: A value of ACTIONS, or PLANNED. None if the image was not transferred.
        label: Best label, None if the image could not be read.
        score: Score of the best label, 0 to 1.
        error: Why the image was not transferred, None if it was.
        scores: Scores of all labels, empty unless requested.
        sha256: Result of `digests.of_image`, None if the image was not transferred or an earlier
            version wrote the results.
        familiarity: Familiarity of the image, 0 to 1. None if it could not be read or the
            classifier does not state it.
        is_unknown: Whether the image shows none of the classes; None like `familiarity`.
    """

    image: str
    target: str | None = None
    action: str | None = None
    label: str | None = None
    score: float | None = None
    error: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    sha256: str | None = None
    familiarity: float | None = None
    is_unknown: bool | None = None


def results_of(
    plans: Iterable[Plan], settings: Mapping[str, Any], labels: Sequence[str]
) -> Iterator[Result]:
    """Yields the results of executing plans.

    Args:
        plans: Plans that are done or pending.
        settings: Value of `Journal.settings`.
        labels: Value of `Journal.labels`.
    """
    source, target = Path(settings["source"]), Path(settings["target"])
    action = PLANNED if settings["dry_run"] else ACTIONS[settings["how"]]
    for plan in plans:
        yield Result(
            image=str(source / plan.image),
            target=str(target / plan.target) if plan.target is not None else None,
            action=action if plan.target is not None else None,
            label=plan.label,
            score=plan.score,
            error=plan.error,
            scores=dict(zip(labels, plan.scores, strict=False)),
            sha256=plan.digest,
            familiarity=plan.familiarity,
            is_unknown=plan.is_unknown if plan.familiarity is not None else None,
        )
