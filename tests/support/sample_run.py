"""A finished training with invented predictions, to write reports of."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.features import Bottlenecks, SplitFeatures
from retrain.config import TrainingConfig
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION, SplitPercentages
from retrain.export.parity import Difference, ParityCheck
from retrain.report.html.training_run import TrainingRun
from retrain.runtimes.head import Head
from retrain.system.phase_timer import PhaseTimer
from retrain.training.cross_validation import OutOfFold
from retrain.training.evaluation import evaluate
from retrain.training.learning_curve import LearningCurve, MeasuredPoints, summarise
from retrain.training.results import HeadResult, Results
from tests.support import natural_images

_SPLITS = (TRAINING, TRAINING, VALIDATION, TEST)
FOLDS = 5


def make_run(
    folder: Path,
    names: Sequence[str],
    *,
    images_per_class: int = 8,
    mistakes: float = 0.3,
    cross_validated: bool = True,
    draw_images: bool = True,
    **options: Any,
) -> TrainingRun:
    """Returns a run whose features are the true classes, with errors.

    Args:
        folder: Folder for the images.
        names: Names of the folders, which are also the labels.
        images_per_class: Number of images of each class.
        mistakes: Share of the images that get a wrong label.
        cross_validated: Whether there was a cross-validation.
        draw_images: Whether the image files exist.
        **options: Fields of the config.
    """
    images: list[ImageFile] = []
    for class_id, name in enumerate(names):
        for number in range(images_per_class):
            path = folder / name / f"{number} {name[:100]}.jpg"
            if draw_images:
                path.parent.mkdir(parents=True, exist_ok=True)
                natural_images.draw(100 * class_id + number).save(path, "JPEG")
            split = _SPLITS[number % len(_SPLITS)]
            images.append(ImageFile(path, class_id, split, len(images) / 1000))
    dataset = Dataset(folder, tuple(names), tuple(names), tuple(images), SplitPercentages(10, 10))
    config = TrainingConfig(folder, bottleneck_dir=folder / "cache", **options)
    count = len(names)
    rng = np.random.default_rng(0)
    predicted = np.array([image.class_id for image in images])
    wrong = rng.random(len(images)) < mistakes
    predicted[wrong] = (predicted[wrong] + rng.integers(1, count, wrong.sum())) % count
    features = np.eye(count, dtype=np.float16)[predicted] * rng.uniform(2, 6, (len(images), 1))

    def split_features(split: str) -> SplitFeatures:
        rows = [row for row, image in enumerate(images) if image.split == split]
        return SplitFeatures(
            tuple(images[row] for row in rows),
            features[rows][:, np.newaxis].astype(np.float16),
            np.array([images[row].class_id for row in rows], np.int64),
        )

    splits = {split: split_features(split) for split in (TRAINING, VALIDATION, TEST)}
    digests = {image.path: bytes([row % 256]) * 32 for row, image in enumerate(images)}
    bottlenecks = Bottlenecks(dataset, "float32", splits, len(images), {}, digests=digests)
    head = Head(np.eye(count, dtype=np.float32), np.zeros(count, np.float32))
    probabilities = head.probabilities(features.astype(np.float32))
    class_ids = np.array([image.class_id for image in images], np.int64)
    out_of_fold = OutOfFold(
        images=tuple(images),
        class_ids=class_ids,
        probabilities=probabilities,
        folds=np.arange(len(images)) % FOLDS,
        groups=np.arange(len(images)),
        fold_count=FOLDS,
        always_training=(),
        evaluation=evaluate(probabilities, class_ids),
    )
    evaluations = {
        split: evaluate(head.probabilities(part.vectors), part.class_ids)
        for split, part in splits.items()
    }
    result = HeadResult(
        bottlenecks,
        head,
        splits[TEST],
        evaluations,
        out_of_fold=out_of_fold if cross_validated else None,
    )
    same = Difference(50, 1.0, 0.001, 0.0001)
    return TrainingRun(
        config=config,
        backbone=_backbone(count),
        results=Results(result),
        fine_tuning=None,
        graph=folder / "no graph.pb",
        parity_checks=[ParityCheck("frozen graph", 14_000_000, 7.5, same, same)],
        timer=PhaseTimer(),
        learning_curve=_learning_curve(~wrong) if cross_validated else None,
    )


def without_test_images(run: TrainingRun) -> TrainingRun:
    """Returns a run that held out no images."""
    result = run.results.primary
    nothing = result.test_features.take(np.zeros(0, np.int64))
    no_evaluation = evaluate(result.head.probabilities(nothing.vectors), nothing.class_ids)
    result = dataclasses.replace(
        result,
        test_features=nothing,
        evaluations={VALIDATION: no_evaluation, TEST: no_evaluation},
        out_of_fold=None,
    )
    split = dataclasses.replace(run.config.split, testing_percentage=0)
    return dataclasses.replace(
        run,
        config=dataclasses.replace(run.config, split=split),
        results=Results(result),
        learning_curve=None,
    )


def _backbone(width: int) -> Backbone:
    return Backbone(
        name="tiny",
        fingerprint="f" * 64,
        height=32,
        width=32,
        mean=(0, 0, 0),
        std=(255, 255, 255),
        channel_order="RGB",
        feature_width=width,
        graph_file=Path("tiny.pb"),
        tflite_file=None,
    )


def _learning_curve(right: np.ndarray) -> LearningCurve:
    rng = np.random.default_rng(0)
    rows = [right & (rng.random(len(right)) < share) for share in (0.6, 0.8, 0.9, 1)]
    return summarise(MeasuredPoints([10, 20, 40, 80], np.stack(rows), np.arange(len(right))))
