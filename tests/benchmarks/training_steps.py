"""Measures a step of fine-tuning: in float32 and bfloat16, with TensorFlow's gradients and our own.

    bazel run //tests/benchmarks:training_steps

Prints milliseconds of processor time per image, the least of several steps.
"""

import contextlib
import os
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
from absl import flags

from retrain.backbones import efficientnet_lite0
from retrain.fine_tuning import layers, trainer
from retrain.fine_tuning.precision import bfloat16_images
from retrain.fine_tuning.schedule import TuningSchedule
from retrain.fine_tuning.trainer import Trainer
from retrain.runtimes.head import Head
from retrain.system.program import command_line
from retrain.training_options import ALL_LAYERS, AUTO, FineTuningOptions

_STEPS = flags.DEFINE_integer("steps", 10, "Number of steps to measure.", lower_bound=2)
_LAYERS = flags.DEFINE_list(
    "layers", [str(ALL_LAYERS), AUTO], "Values of --fine_tune_layers to measure."
)
_BATCH_SIZE = 32
_CLASSES = 10


def main(_: list[str]) -> None:
    """Prints a row for each set of trained layers, type and kind of gradients."""
    print(f"{'':44}  ms per image")
    for layers_flag in _LAYERS.value:
        count = layers_flag if layers_flag == AUTO else int(layers_flag)
        for bfloat16 in (False, True):
            for fast in (False, True):
                name = (
                    f"layers {count}, {'bfloat16' if bfloat16 else 'float32'}, "
                    f"{'own' if fast else 'TensorFlow'} gradients"
                )
                print(
                    f"{name:44}  {_measure(count, bfloat16=bfloat16, fast=fast):12.1f}", flush=True
                )


def _measure(count: int | str, *, bfloat16: bool, fast: bool) -> float:
    """Returns the processor time of a step, in milliseconds per image."""
    backbone = efficientnet_lite0.load()
    network = layers.load_trainable(backbone, count)
    rng = np.random.default_rng(0)
    head = Head(
        rng.normal(0, 0.01, (backbone.feature_width, _CLASSES)).astype(np.float32),
        np.zeros(_CLASSES, np.float32),
    )
    options = FineTuningOptions(epochs=1)
    with contextlib.ExitStack() as stack:
        if bfloat16:
            stack.enter_context(bfloat16_images(network))
        if not fast:
            stack.enter_context(
                mock.patch.object(trainer, "fast_gradients", contextlib.nullcontext)
            )
        step = Trainer(
            network, head, backbone, options=options, schedule=TuningSchedule(options, 1)
        )
        pixels = rng.integers(0, 256, (_BATCH_SIZE, backbone.height, backbone.width, 3), np.uint8)
        inputs = step.activations(pixels)
        class_ids = rng.integers(0, _CLASSES, _BATCH_SIZE)
        weights = np.ones(_BATCH_SIZE, np.float32)
        return _least_time(lambda: step.train_step(inputs, class_ids, weights))


def _least_time(function: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(_STEPS.value + 1):
        before = os.times()
        function()
        after = os.times()
        seconds.append(sum(after[:2]) - sum(before[:2]))
    return 1000 * min(seconds[1:]) / _BATCH_SIZE


if __name__ == "__main__":
    command_line.run(main, __doc__)
