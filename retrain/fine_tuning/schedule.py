"""Decides the learning rate of each step of fine-tuning, and when to stop."""

import math
from collections.abc import Sequence
from typing import Any

from retrain.system.text import format_duration
from retrain.training_options import AUTO, FineTuningOptions

# Everything below is for epochs AUTO. `tests/benchmarks/fine_tuning.py` measures the result.

_WARM_UP_STEPS = 20

# Minimum number of steps in a round, and maximum number of its epochs. With few images, an epoch is
# too short to judge progress.
_MIN_ROUND_STEPS = 12
_MAX_ROUND_EPOCHS = 3

# The learning rate stays high until a round reduces the validation loss by less than this fraction.
_MIN_GAIN = 0.25
_MAX_HIGH_ROUNDS = 6

# Rounds in which the learning rate decreases to 0.
_FINAL_ROUNDS = 2

# Number of distorted variants of each image.
_VARIANTS = 4


class TuningSchedule:
    """The schedule of a training.

    With a given number of epochs, the learning rate follows a cosine. With AUTO, it stays high as
    long as the validation loss decreases quickly, and then decreases to 0 within a few epochs
    (Zhai et al., 2022, https://arxiv.org/abs/2106.04560, section 3.5).

    Attributes:
        is_auto: Whether the validation loss decides the number of epochs. The result is then a
            moving average of the weights, so that single steps do not disturb the decision.
    """

    def __init__(self, options: FineTuningOptions, steps: int) -> None:
        """Stores the arguments.

        Args:
            options: Hyperparameters.
            steps: Number of steps in an epoch.
        """
        self.is_auto = options.epochs == AUTO
        self._options = options
        self._steps = steps
        self._round = min(math.ceil(_MIN_ROUND_STEPS / steps), _MAX_ROUND_EPOCHS)
        self._max_epochs = (
            (_MAX_HIGH_ROUNDS + _FINAL_ROUNDS) * self._round
            if self.is_auto
            else int(options.epochs)
        )

    def variant(self, epoch: int) -> int:
        """Returns the number of the distorted variants for an epoch, both from 0."""
        return epoch % _VARIANTS if self.is_auto else epoch

    def is_finished(self, losses: Sequence[float]) -> bool:
        """Returns whether to stop.

        Args:
            losses: Validation loss after each epoch so far.
        """
        return len(losses) >= self._last_epoch(losses)

    def first_final_step(self, losses: Sequence[float]) -> int:
        """Returns the step in which the learning rate begins to decrease, as far as it is known.

        Args:
            losses: Validation loss after each epoch so far.
        """
        return (self._last_epoch(losses) - _FINAL_ROUNDS * self._round) * self._steps

    def _last_epoch(self, losses: Sequence[float]) -> int:
        if self.is_auto:
            for epoch in range(2 * self._round, len(losses) + 1, self._round):
                if losses[epoch - 1] > (1 - _MIN_GAIN) * losses[epoch - 1 - self._round]:
                    return min(epoch + _FINAL_ROUNDS * self._round, self._max_epochs)
        return self._max_epochs

    def learning_rate(self, first_final_step: Any) -> Any:
        """Returns the Keras schedule of the learning rate.

        Args:
            first_final_step: TensorFlow variable with the value of the method of this name, for
                AUTO.
        """
        from tensorflow import keras

        options = self._options
        if self.is_auto:
            return _create_two_phases(
                options.learning_rate, first_final_step, _FINAL_ROUNDS * self._round * self._steps
            )
        total = self._max_epochs * self._steps
        warm_up_steps = round(options.warm_up * total)
        return keras.optimizers.schedules.CosineDecay(
            0.0,
            total - warm_up_steps,
            warmup_target=options.learning_rate,
            warmup_steps=warm_up_steps,
        )

    def describe(self, losses: Sequence[float]) -> str:
        """Returns the number of finished epochs and that of all as text."""
        return f"{len(losses)} of {self._at_most(losses)}{self._last_epoch(losses)}"

    def describe_remaining(self, losses: Sequence[float], seconds: float) -> str:
        """Returns the time until the last epoch as text.

        Args:
            losses: Validation loss after each epoch so far.
            seconds: Time that the last of them took.
        """
        remaining = self._last_epoch(losses) - len(losses)
        return self._at_most(losses) + format_duration(remaining * seconds)

    def _at_most(self, losses: Sequence[float]) -> str:
        is_open = self.is_auto and self._last_epoch(losses) == self._max_epochs
        return "at most " if is_open and len(losses) < self._max_epochs else ""


def _create_two_phases(peak: float, first_final_step: Any, final_steps: int) -> Any:
    import tensorflow as tf

    class TwoPhases(tf.keras.optimizers.schedules.LearningRateSchedule):
        """Increases the learning rate, keeps it, and decreases it to 0 at the end."""

        def __call__(self, step: Any) -> Any:
            number = tf.cast(step, tf.float32)
            start = tf.minimum(1.0, (number + 1) / _WARM_UP_STEPS)
            final = 1 - (number - tf.cast(first_final_step, tf.float32)) / final_steps
            return peak * start * tf.clip_by_value(final, 0.0, 1.0)

        def get_config(self) -> dict[str, Any]:
            return {}

    return TwoPhases()
