"""Compares pretrained networks by cross-validation, and selects one."""

import dataclasses
import logging
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrain.backbones import engines, registry
from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.config import DEFAULT_FOLDS, SMALLEST, TrainingConfig
from retrain.data.dataset import Dataset
from retrain.data.splits import TRAINING, VALIDATION
from retrain.data_check.near_duplicate_groups import near_duplicate_grouping
from retrain.system.phase_timer import PhaseTimer
from retrain.training.accuracy_interval import Z_95
from retrain.training.cross_validation import cross_validate

_TIMED_IMAGES = 10


@dataclasses.dataclass(frozen=True)
class ArchitectureResult:
    """A pretrained network with the heads that were trained on its features.

    Attributes:
        name: Name of the network.
        count: Number of images of the cross-validation.
        accuracy: Cross-validated accuracy, 0 to 1.
        interval: 95 % confidence interval of the accuracy.
        milliseconds: Time to compute the features of the pixels of one image on this machine.
        size: Size of the network in bytes, as a frozen graph.
    """

    name: str
    count: int
    accuracy: float
    interval: tuple[float, float]
    milliseconds: float
    size: int

    @property
    def standard_error(self) -> float:
        """Standard error of the accuracy, which is positive also without any mistakes."""
        return (self.interval[1] - self.interval[0]) / (2 * Z_95)


@dataclasses.dataclass(frozen=True)
class ArchitectureComparison:
    """The networks of --architecture, and the selected one.

    Attributes:
        results: Results in the order of the flag.
        selected: Index of the selected network.
        select: Value of --select_architecture.
    """

    results: tuple[ArchitectureResult, ...]
    selected: int
    select: str

    def as_json(self) -> dict[str, Any]:
        """Returns the comparison as values for `json.dumps`."""
        return {
            "select": self.select,
            "selected": self.results[self.selected].name,
            "results": [
                dataclasses.asdict(result) | {"standard_error": result.standard_error}
                for result in self.results
            ],
        }


def resolve_backbones(config: TrainingConfig) -> list[Backbone]:
    """Returns the pretrained network of a run, or all that it is to compare.

    Raises:
        UserError: If a network cannot be found or used.
    """
    backbones = [registry.resolve(options, config.bottleneck_dir) for options in config.backbones]
    for backbone in backbones:
        engines.check(config.engine, backbone)
    return backbones


def select_backbone(
    config: TrainingConfig,
    backbones: Sequence[Backbone],
    dataset: Dataset,
    *,
    engine: str,
    timer: PhaseTimer,
) -> tuple[TrainingConfig, Backbone, ArchitectureComparison | None]:
    """Returns the network to use with a config that names it, and how it was selected.

    Args:
        config: Configuration of the run.
        backbones: Result of `resolve_backbones`. If it is a single one, nothing is compared.
        dataset: All images.
        engine: Name of the engine that computes the features.
        timer: Timer of the run's phases.

    Raises:
        UserError: If the images or the cache cannot be used.
    """
    if len(backbones) == 1:
        return config, backbones[0], None
    with timer.phase("architectures"):
        comparison = compare_architectures(config, backbones, dataset, engine=engine)
    selected = dataclasses.replace(config, backbone=config.backbones[comparison.selected])
    return selected, backbones[comparison.selected], comparison


def compare_architectures(
    config: TrainingConfig, backbones: Sequence[Backbone], dataset: Dataset, *, engine: str
) -> ArchitectureComparison:
    """Cross-validates heads on the features of each network, and selects a network.

    The test split takes no part, so that the accuracy on it stays that of unseen images.

    Args:
        config: Configuration of the run.
        backbones: The networks, at least two.
        dataset: All images.
        engine: Name of the engine that computes the features.

    Raises:
        UserError: If the images or the cache cannot be used.
    """
    results: list[ArchitectureResult] = []
    for backbone in backbones:
        features = compute_bottlenecks(
            dataset,
            backbone,
            engine,
            config.bottleneck_dir,
            strict=config.strict,
            distortions=config.distortions,
            warn_duplicates=not results,
            group=near_duplicate_grouping(config, dataset),
        )
        logging.info("%s: %s", backbone.name, features.summary())
        out_of_fold = cross_validate(
            features,
            config.head,
            config.folds or DEFAULT_FOLDS,
            stage_widths=backbone.stage_widths,
            splits=(TRAINING, VALIDATION),
        )
        evaluation = out_of_fold.evaluation
        results.append(
            ArchitectureResult(
                name=backbone.name,
                count=evaluation.count,
                accuracy=evaluation.accuracy or 0.0,
                interval=evaluation.interval or (0.0, 1.0),
                milliseconds=_measure_milliseconds(backbone),
                size=backbone.graph_file.stat().st_size,
            )
        )
        # The next network does not try to read the unreadable images again.
        dataset = features.dataset
    selected = select_architecture(results, config.select_architecture)
    return ArchitectureComparison(tuple(results), selected, config.select_architecture)


def select_architecture(results: Sequence[ArchitectureResult], select: str) -> int:
    """Returns the index of the network to use.

    Args:
        results: Results of all networks.
        select: SMALLEST for the smallest network whose accuracy is at most one standard error below
            the best (Breiman et al., Classification and Regression Trees, 1984); MOST_ACCURATE for
            the best, and the smallest of several.
    """
    best = max(results, key=lambda result: (result.accuracy, -result.size))
    lowest = best.accuracy - (best.standard_error if select == SMALLEST else 0)
    close = [row for row, result in enumerate(results) if result.accuracy >= lowest]
    return min(close, key=lambda row: (results[row].size, -results[row].accuracy))


def _measure_milliseconds(backbone: Backbone) -> float:
    """Returns the median time for one image, in 32-bit floating point."""
    name = engines.FLOAT32 if backbone.tflite_file else engines.TENSORFLOW
    image = np.zeros((1, backbone.height, backbone.width, 3), np.uint8)
    with engines.create(name, backbone) as engine:
        network = engine.load()
        network.run(image)
        times = []
        for _ in range(_TIMED_IMAGES):
            start = time.perf_counter()
            network.run(image)
            times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)
