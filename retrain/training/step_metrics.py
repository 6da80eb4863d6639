"""Measures a head on training and validation examples after a training step."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from retrain.runtimes.head import Head
from retrain.training.losses import cross_entropies_of_logits

# Features, float16 or float32 [N, width], and their classes, int [N], 0 to classes - 1.
Examples: TypeAlias = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class StepMetrics:
    """Metrics of the head after one training step.

    Attributes:
        step: Number of the step, from 0.
        train_accuracy: Accuracy on the batch of the step, 0 to 1.
        train_cross_entropy: Mean cross entropy of the batch, in nats.
        validation_accuracy: Accuracy on validation images, 0 to 1; None if there are none.
        validation_cross_entropy: Mean cross entropy of these images, in nats; None if there are
            none.
        head: The head after the step.
    """

    step: int
    train_accuracy: float
    train_cross_entropy: float
    validation_accuracy: float | None
    validation_cross_entropy: float | None
    head: Head

    def describe(self) -> str:
        """Returns the metrics as text."""
        text = (
            f"train accuracy = {100 * self.train_accuracy:.1f}%, "
            f"cross entropy = {self.train_cross_entropy:.4f}"
        )
        if self.validation_accuracy is not None:
            text += f", validation accuracy = {100 * self.validation_accuracy:.1f}%"
        return text


def measure(step: int, head: Head, batch: Examples, validation: Examples | None) -> StepMetrics:
    """Returns the metrics of `head` on a batch and on validation images.

    The metrics of a head that has diverged are NaN.

    Args:
        step: Number of the step that led to `head`.
        head: The head to measure.
        batch: Training examples.
        validation: Validation examples, if there are any.
    """
    train_accuracy, train_cross_entropy = _accuracy_and_cross_entropy(head, batch)
    validation_accuracy, validation_cross_entropy = (
        _accuracy_and_cross_entropy(head, validation) if validation else (None, None)
    )
    return StepMetrics(
        step=step,
        train_accuracy=train_accuracy,
        train_cross_entropy=train_cross_entropy,
        validation_accuracy=validation_accuracy,
        validation_cross_entropy=validation_cross_entropy,
        head=head,
    )


@np.errstate(over="ignore", invalid="ignore")
def _accuracy_and_cross_entropy(head: Head, examples: Examples) -> tuple[float, float]:
    features, class_ids = examples
    logits = head.logits(features)
    accuracy = np.mean(logits.argmax(axis=1) == class_ids)
    return float(accuracy), float(np.mean(cross_entropies_of_logits(logits, class_ids)))
