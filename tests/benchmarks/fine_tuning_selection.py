"""Measures how often a validation split keeps fine-tuning, and how often it is wrong to do so.

    bazel run //tests/benchmarks:fine_tuning_selection -- --image_dir=DIR --image_dir=ANOTHER

A network is fine-tuned on some of the images in DIR that are not for testing. Validation splits of
several sizes are drawn from the others many times. Each selects heads for both networks, and then
one of the networks; the images that are left show whether this was right.
"""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from absl import flags

from retrain.backbones import efficientnet_lite0, engines
from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.features import Bottlenecks
from retrain.config import SplitOptions, TrainingConfig
from retrain.data.dataset import scan_dataset
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.fine_tuning.paired_gain import PairedGain, measure_paired_gain
from retrain.fine_tuning.tuned_backbone import fine_tune_backbone
from retrain.system.files.user_paths import user_path
from retrain.system.phase_timer import PhaseTimer
from retrain.system.program import command_line
from retrain.training.calibration import fit_temperature
from retrain.training.engine_plan import plan_engines
from retrain.training.losses import cross_entropies_of_logits
from retrain.training.strength_selection import is_better
from retrain.training.train import train_and_evaluate
from retrain.training.training_set import TrainingSet
from retrain.training.validation_curve import ValidationCurve, measure_validation_curves
from retrain.training_options import AUTO, FineTuningOptions

_IMAGE_DIR = flags.DEFINE_multi_string(
    "image_dir", [], "Folder with a sub-folder of images for each class. Can be repeated."
)
_SHARE = flags.DEFINE_float("share", 0.4, "Share of the images to fine-tune on.", 0.01, 0.99)
_DRAWS = flags.DEFINE_integer("draws", 200, "Number of validation splits.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Random seed.")

_SIZES = (12, 24, 48, 100, 190)

# Curves of the heads with the features of the last layer, and of those with all features.
_Curves: TypeAlias = tuple[ValidationCurve, ValidationCurve]


class _Draw(NamedTuple):
    """The result of one validation split.

    Attributes:
        has_no_more_errors: Whether the fine-tuned network makes no more errors in the split.
        gain: Its gain in the split.
        is_wrong: Whether it makes more errors on the other images.
    """

    has_no_more_errors: bool
    gain: PairedGain
    is_wrong: bool


def main(_: list[str]) -> None:
    """Prints a table for each folder."""
    for name in _IMAGE_DIR.value:
        with tempfile.TemporaryDirectory() as folder:
            tuned, pretrained = _measure_curves(user_path(name), Path(folder))
        print(f"{name}: {len(tuned[0].class_ids)} held-out images")
        for size in _SIZES:
            if size <= 0.6 * len(tuned[0].class_ids):
                draws = [_draw(tuned, pretrained, size, seed) for seed in range(_DRAWS.value)]
                _print_row(size, draws)


def _measure_curves(images: Path, folder: Path) -> tuple[_Curves, _Curves]:
    """Returns curves of the fine-tuned and the pretrained network for the held-out images."""
    rng = np.random.default_rng(_SEED.value)
    dataset = scan_dataset(images, SplitOptions())
    for number, image in enumerate(dataset.images):
        if image.split != TEST:
            split = TRAINING if rng.random() < _SHARE.value else VALIDATION
            link = folder / split / dataset.folders[image.class_id] / f"{number}-{image.path.name}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(image.path)
    config = TrainingConfig(
        folder / TRAINING,
        split=SplitOptions(0, 0, validation_dir=folder / VALIDATION),
        bottleneck_dir=folder / "cache",
        fine_tuning=FineTuningOptions(epochs=AUTO),
    )
    dataset = scan_dataset(config.image_dir, config.split)
    backbone, plan = efficientnet_lite0.load(), plan_engines(engines.AUTO, int8_export=False)
    pretrained = train_and_evaluate(config, backbone, dataset, plan, timer=PhaseTimer()).primary
    tuned_backbone, _ = fine_tune_backbone(config, backbone, pretrained)
    tuned = train_and_evaluate(config, tuned_backbone, dataset, plan, timer=PhaseTimer()).primary
    return _curves(tuned.features, backbone), _curves(pretrained.features, backbone)


def _curves(features: Bottlenecks, backbone: Backbone) -> _Curves:
    """Returns the curves of heads with the features of the last layer, and with all features."""
    training, validation = features.split(TRAINING), features.split(VALIDATION)
    training_set = TrainingSet(
        training.vectors.astype(np.float32),
        training.class_ids,
        len(features.dataset.labels),
        stage_widths=backbone.stage_widths,
    )
    nothing_held_out = np.zeros(len(training.class_ids), bool)
    last_layer, complete = measure_validation_curves(
        [training_set.without_stages(), training_set],
        (validation.vectors, validation.class_ids),
        [nothing_held_out],
    )
    return last_layer, complete


def _draw(tuned: _Curves, pretrained: _Curves, size: int, seed: int) -> _Draw:
    class_ids = tuned[0].class_ids
    rows = np.random.default_rng(seed).permutation(len(class_ids))
    validation, others = rows[:size], rows[size:]
    before, after = (_predict(curves, validation) for curves in (pretrained, tuned))
    losses = [cross_entropies_of_logits(logits, class_ids) for logits in (before, after)]
    errors = [logits.argmax(axis=1) != class_ids for logits in (before, after)]
    return _Draw(
        errors[1][validation].sum() <= errors[0][validation].sum(),
        measure_paired_gain(losses[0][validation], losses[1][validation], np.arange(size)),
        errors[1][others].sum() > errors[0][others].sum(),
    )


def _predict(curves: _Curves, validation: np.ndarray) -> np.ndarray:
    """Returns the logits of the head that a validation split selects and calibrates."""
    last_layer, complete = (
        dataclasses.replace(
            curve,
            class_ids=curve.class_ids[validation],
            logits=curve.logits[:, validation],
            losses=curve.losses[:, validation],
        )
        for curve in curves
    )
    uses_stages = is_better(complete, last_layer)
    selected = complete if uses_stages else last_layer
    best = selected.best()
    temperature = fit_temperature(selected.logits[best], selected.class_ids)
    return curves[uses_stages].logits[best] / np.float32(temperature)


def _print_row(size: int, draws: Sequence[_Draw]) -> None:
    rules = {
        "1 standard error": lambda gain: gain.mean > gain.standard_error,
        "95 % confidence": lambda gain: gain.is_certain,
    }
    columns = []
    for name, is_enough in rules.items():
        kept = [draw for draw in draws if draw.has_no_more_errors and is_enough(draw.gain)]
        wrongly = sum(draw.is_wrong for draw in kept)
        columns.append(
            f"{name}: kept {len(kept) / len(draws):4.0%}, wrongly {wrongly / len(draws):4.0%}"
        )
    print(f"  {size:4} validation images  {'  '.join(columns)}", flush=True)


if __name__ == "__main__":
    command_line.run(main, __doc__)
