"""Measures the accuracy of each value of --fit on images of many shapes.

    bazel run //tests/benchmarks:fit -- --image_dir=DIR --image_dir=ANOTHER

Each folder of images is measured three times: with the images as they are; with each image cut to a
random aspect ratio from 1:3 to 3:1; and with bars in a random colour added to a random aspect
ratio. Prints the accuracy and the cross entropy of repeated cross-validation, in which each fold's
head is selected and calibrated on the other folds only.
"""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image

from retrain.backbones import efficientnet_lite0, engines
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.bottlenecks.features import SplitFeatures
from retrain.data import image_reader, pixels
from retrain.data.dataset import ImageFile
from retrain.data.splits import TRAINING
from retrain.data.unreadable_image import UnreadableImageError
from retrain.metadata import FITS
from retrain.system.files.user_paths import user_path
from retrain.system.processors import processor_count
from retrain.system.program import command_line
from retrain.system.threads import parallel_map
from retrain.training.fold_head import fit_head
from retrain.training.folds import assign_folds
from retrain.training.losses import cross_entropies_of_logits
from retrain.training.training_set import TrainingSet
from retrain.training_options import HeadOptions
from tests.benchmarks import random_splits

_IMAGE_DIR = flags.DEFINE_multi_string(
    "image_dir", [], "Folder with a sub-folder of images for each class. Can be repeated."
)
_SEEDS = flags.DEFINE_integer("seeds", 3, "Number of cross-validations.", lower_bound=1)
_FOLDS = 5
_MAX_RATIO = 3.0
_MAX_SIDE = 500

_Reshape = Callable[[Image.Image, np.random.Generator], Image.Image]


def main(_: list[str]) -> None:
    """Prints a row for each folder, change of its images, and value of --fit."""
    with tempfile.TemporaryDirectory() as temporary:
        for name in _IMAGE_DIR.value:
            folder = user_path(name)
            for number, (change, reshape) in enumerate(_CHANGES.items()):
                changed = Path(temporary, f"{folder.name}-{number}")
                _reshape_all(folder, changed, reshape)
                for fit in FITS:
                    accuracy, cross_entropy = _cross_validate(changed, fit, Path(temporary))
                    print(
                        f"{name:30}  {change:10}  {fit:8}  {100 * accuracy:6.2f} %  "
                        f"{cross_entropy:.4f}",
                        flush=True,
                    )


def _reshape_all(folder: Path, changed: Path, reshape: _Reshape) -> None:
    """Writes a changed copy of each image that can be read."""
    images = list(enumerate(random_splits.scan_unsplit(folder).images))

    def write(numbered: tuple[int, ImageFile]) -> None:
        number, image = numbered
        try:
            rgb = pixels.decode_upright(image_reader.read(image.path), _MAX_SIDE, _MAX_SIDE)
        except UnreadableImageError:
            return
        rgb.thumbnail((2 * _MAX_SIDE, 2 * _MAX_SIDE))
        target = changed / image.path.parent.name / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        reshape(rgb, np.random.default_rng(number)).save(target, compress_level=1)

    for _ in parallel_map(write, images, processor_count()):
        pass


def _random_ratio(rng: np.random.Generator) -> float:
    """Returns a ratio of width to height, log-uniformly distributed."""
    return float(_MAX_RATIO ** rng.uniform(-1, 1))


def _cut(rgb: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns the largest part of an image with a random aspect ratio, at a random position."""
    ratio = _random_ratio(rng)
    width = max(1, min(rgb.width, round(rgb.height * ratio)))
    height = max(1, min(rgb.height, round(rgb.width / ratio)))
    left = int(rng.integers(rgb.width - width + 1))
    top = int(rng.integers(rgb.height - height + 1))
    return rgb.crop((left, top, left + width, top + height))


def _add_bars(rgb: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns an image of a random aspect ratio with the whole of another one in its centre."""
    ratio = _random_ratio(rng)
    width = max(rgb.width, round(rgb.height * ratio))
    height = max(rgb.height, round(rgb.width / ratio))
    red, green, blue = rng.integers(256, size=3).tolist()
    canvas = Image.new("RGB", (width, height), (red, green, blue))
    canvas.paste(rgb, ((width - rgb.width) // 2, (height - rgb.height) // 2))
    return canvas


_CHANGES: dict[str, _Reshape] = {
    "as is": lambda rgb, _: rgb,
    "cut": _cut,
    "with bars": _add_bars,
}


def _cross_validate(folder: Path, fit: str, cache: Path) -> tuple[float, float]:
    """Returns the mean accuracy and cross entropy of held-out images."""
    backbone = dataclasses.replace(efficientnet_lite0.load(), fit=fit)
    dataset = random_splits.scan_unsplit(folder)
    features = compute_bottlenecks(
        dataset, backbone, engines.AUTO, cache, warn_duplicates=False
    ).split(TRAINING)
    results = [_judge_folds(features, backbone.stage_widths, seed) for seed in range(_SEEDS.value)]
    right, losses = (np.concatenate(values) for values in zip(*results, strict=True))
    return float(right.mean()), float(losses.mean())


def _judge_folds(
    features: SplitFeatures, stage_widths: tuple[int, ...], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns for each image whether its label is right, and its cross entropy."""
    class_ids = features.class_ids
    training = TrainingSet(
        features.vectors, class_ids, int(class_ids.max()) + 1, stage_widths=stage_widths
    )
    folds = assign_folds(class_ids, np.arange(len(class_ids)), _FOLDS, seed=seed)
    right, losses = np.zeros(len(class_ids)), np.zeros(len(class_ids))
    for fold in range(_FOLDS):
        held_out = folds == fold
        head = fit_head(training.select_images(~held_out), HeadOptions(seed=seed))
        logits = head.logits(features.vectors[held_out])
        right[held_out] = logits.argmax(axis=1) == class_ids[held_out]
        losses[held_out] = cross_entropies_of_logits(logits, class_ids[held_out])
    return right, losses


if __name__ == "__main__":
    command_line.run(main, __doc__)
