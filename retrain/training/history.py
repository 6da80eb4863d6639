"""How a training went: how good heads were, one after the other, to be drawn."""

import dataclasses
import json
from dataclasses import dataclass
from typing import NamedTuple

from retrain.training.sgd import Progress


class Measures(NamedTuple):
    """How good heads are on some images, a number for each head.

    Attributes:
        accuracy: shares of the images that get the right label, 0 to 1.
        cross_entropy: means over the images, in nats.
    """

    accuracy: tuple[float, ...]
    cross_entropy: tuple[float, ...]


@dataclass(frozen=True)
class TrainingHistory:
    """Heads after so many steps or epochs of one training, or of so many strengths.

    What calibration makes of the last one is not in it.

    Attributes:
        at: the steps, epochs or strengths, growing.
        learned: how good the heads are on images that they learned from.
        others: on images that they did not learn from; None where there are none.
        chosen: the strength that was chosen, where they differ by it.
        name: of the others.
    """

    at: tuple[float, ...]
    learned: Measures
    others: Measures | None
    chosen: float | None = None
    name: str = "validation"

    def to_json(self) -> str:
        """Returns it as JSON, for `from_json`."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def from_json(text: str) -> TrainingHistory:
    """Returns what `Course.to_json` gave."""
    fields = json.loads(text)
    learned, others = (
        measures and Measures(*map(tuple, measures))
        for measures in (fields.pop("learned"), fields.pop("others"))
    )
    return TrainingHistory(tuple(fields.pop("at")), learned, others, **fields)


class Recorder:
    """Keeps the numbers of a training that takes many steps."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, float, float]] = []
        self._others: list[tuple[float, float]] = []

    def add(self, progress: Progress) -> None:
        """Keeps one evaluation, without its head."""
        self._seen.append((progress.step, progress.train_accuracy, progress.train_cross_entropy))
        if progress.validation_accuracy is not None:
            assert progress.validation_cross_entropy is not None
            self._others.append((progress.validation_accuracy, progress.validation_cross_entropy))

    def history(self) -> TrainingHistory:
        """Returns all that was kept; one evaluation at least."""
        steps, accuracies, losses = zip(*self._seen, strict=True)
        others = Measures(*zip(*self._others, strict=True)) if self._others else None
        return TrainingHistory(steps, Measures(accuracies, losses), others)
