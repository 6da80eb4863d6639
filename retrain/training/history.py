"""Accuracy and loss over the course of a training run, for plots and TensorBoard."""

import json
from dataclasses import dataclass
from typing import NamedTuple

from retrain.training.step_metrics import StepMetrics


class MetricSeries(NamedTuple):
    """Accuracy and cross entropy of a sequence of models on one split.

    Attributes:
        accuracy: Fraction of the images with the right label, 0 to 1, one value for each model.
        cross_entropy: Mean cross entropy in nats, one value for each model.
    """

    accuracy: tuple[float, ...]
    cross_entropy: tuple[float, ...]


@dataclass(frozen=True)
class TrainingHistory:
    """Metrics of the models along one training run, before calibration.

    Attributes:
        at: Steps, epochs or regularisation strengths of the models, in increasing order.
        train: Metrics on images that the models were trained on.
        validation: Metrics on held-out images; None if there are no such images.
        selected: The selected strength, if the models differ by strength.
        validation_name: Name of the held-out images in plots.
    """

    at: tuple[float, ...]
    train: MetricSeries
    validation: MetricSeries | None
    selected: float | None = None
    validation_name: str = "validation"

    def as_json(self) -> dict[str, object]:
        """Returns the fields as values for `json.dumps`, each also under its key of version 1.0."""
        return {
            "at": self.at,
            "train": self.train,
            "validation": self.validation,
            "selected": self.selected,
            "validation_name": self.validation_name,
            "learned": self.train,
            "others": self.validation,
            "chosen": self.selected,
            "name": self.validation_name,
        }

    def to_json(self) -> str:
        """Returns the history as JSON text for `from_json`."""
        return json.dumps(self.as_json(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "TrainingHistory":
        """Returns the history in the JSON text that `to_json` returned, now or in version 1.0."""
        fields = json.loads(text)
        validation = fields["others"]
        return cls(
            at=tuple(fields["at"]),
            train=MetricSeries(*map(tuple, fields["learned"])),
            validation=MetricSeries(*map(tuple, validation)) if validation else None,
            selected=fields["chosen"],
            validation_name=fields["name"],
        )


class HistoryRecorder:
    """Collects the metrics of a step-by-step training run."""

    def __init__(self) -> None:
        self._train: list[tuple[int, float, float]] = []
        self._validation: list[tuple[float, float]] = []

    def add(self, metrics: StepMetrics) -> None:
        """Records the metrics of one step."""
        self._train.append((metrics.step, metrics.train_accuracy, metrics.train_cross_entropy))
        if metrics.validation_accuracy is not None:
            assert metrics.validation_cross_entropy is not None
            self._validation.append((metrics.validation_accuracy, metrics.validation_cross_entropy))

    def history(self) -> TrainingHistory:
        """Returns the history of all recorded steps, of which there must be at least one."""
        steps, accuracies, losses = zip(*self._train, strict=True)
        validation = (
            MetricSeries(*zip(*self._validation, strict=True)) if self._validation else None
        )
        return TrainingHistory(steps, MetricSeries(accuracies, losses), validation)
