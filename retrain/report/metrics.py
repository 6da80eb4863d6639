"""Writes all metrics of a run as JSON."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retrain.backbones.engines import INT8
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.export.formats import WrittenFile
from retrain.export.parity import ParityCheck
from retrain.fine_tuning.result import FineTuningResult
from retrain.report.finished_training import FinishedTraining
from retrain.system.outputs.staging import Staging
from retrain.system.phase_timer import PhaseTimer
from retrain.training.cross_validation import OutOfFold
from retrain.training.results import HeadResult


def stage_metrics(
    staging: Staging, training: FinishedTraining, parity_checks: Sequence[ParityCheck]
) -> list[WrittenFile]:
    """Writes the JSON file to its temporary place, if the config asks for one.

    Args:
        staging: Puts the file in place when the run succeeds.
        training: The finished training.
        parity_checks: Parity checks of the exported files.
    """
    path = training.config.output.metrics_json
    if path is None:
        return []
    metrics = collect_metrics(training, parity_checks)
    text = json.dumps(_without_nan(metrics), indent=2, allow_nan=False)
    staging.file(path).write_text(text + "\n", "utf-8")
    return [WrittenFile(path, "the metrics of this run")]


def collect_metrics(
    training: FinishedTraining, parity_checks: Sequence[ParityCheck]
) -> dict[str, object]:
    """Returns all metrics of a run as values for `json.dumps`.

    Some values have two keys. The second one is the key of version 1.0.

    Args:
        training: The finished training.
        parity_checks: Parity checks of the exported files.
    """
    config, results = training.config, training.results
    features = results.primary.features
    dataset = features.dataset
    images = {
        **{split: len(dataset.split(split)) for split in (TRAINING, VALIDATION, TEST)},
        "bottlenecks_computed": sum(result.features.computed_count for result in results.all()),
        "unreadable": {
            str(path): reason
            for result in results.all()
            for path, reason in result.features.unreadable.items()
        },
    }
    return {
        "format_version": 1,
        "labels": dataset.labels,
        "folders": dataset.folders,
        "architecture": config.backbone.name,
        "images": images,
        "pictures": images,
        "groups": dataset.grouping.as_json() if dataset.grouping else None,
        "training": config.provenance(),
        "engine": features.engine,
        **_evaluations_as_json(results.primary),
        **({f"in_{INT8}": _evaluations_as_json(results.int8)} if results.int8 else {}),
        **(
            {"fine_tuning": _fine_tuning_as_json(training.fine_tuning, dataset.labels)}
            if training.fine_tuning
            else {}
        ),
        **{
            name: comparison.as_json()
            for name, comparison in training.comparisons._asdict().items()
            if comparison
        },
        "exports": [_parity_check_as_json(check) for check in parity_checks],
        "seconds": _seconds_as_json(training.timer),
    }


def _without_nan(value: Any) -> Any:
    """Replaces numbers that JSON does not have, which are NaN and the infinities, with None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value


def _fine_tuning_as_json(result: FineTuningResult, labels: Sequence[str]) -> dict[str, object]:
    history, tuned, baseline = (
        result.history.as_json(),
        result.tuned.as_json(labels),
        result.baseline.as_json(labels),
    )
    return {
        "kept": result.kept,
        "history": history,
        "tuned": tuned,
        "baseline": baseline,
        "gain": result.gain.mean,
        "standard_error": result.gain.standard_error,
        "required_gain": result.gain.required,
        "test_tuned": result.test_tuned,
        "test_baseline": result.test_baseline,
        **(
            {"baseline_cross_validation": _out_of_fold_as_json(out_of_fold, labels)}
            if (out_of_fold := result.baseline_out_of_fold)
            else {}
        ),
        "course": history,
        "with_it": tuned,
        "without": baseline,
        "test_with": result.test_tuned,
        "test_without": result.test_baseline,
    }


def _evaluations_as_json(result: HeadResult) -> dict[str, object]:
    labels = result.features.dataset.labels
    evaluations: dict[str, object] = {
        split: evaluation.as_json(labels) for split, evaluation in result.evaluations.items()
    }
    if result.out_of_fold is None:
        return evaluations
    return {**evaluations, "cross_validation": _out_of_fold_as_json(result.out_of_fold, labels)}


def _out_of_fold_as_json(result: OutOfFold, labels: Sequence[str]) -> dict[str, object]:
    return {
        **result.evaluation.as_json(labels),
        "folds": result.fold_count,
        "groups": len(np.unique(result.groups)),
        "always_training": [str(image.path) for image in result.always_training],
    }


def _parity_check_as_json(check: ParityCheck) -> dict[str, object]:
    fields = dataclasses.asdict(check)
    for name in ("from_pixels", "from_files"):
        if fields[name] is not None:
            fields[name]["pictures"] = fields[name]["images"]
    return fields


def _seconds_as_json(timer: PhaseTimer) -> dict[str, float]:
    seconds = {phase: round(spent, 3) for phase, spent in timer.seconds.items()}
    return seconds | ({"drawings": seconds["plots"]} if "plots" in seconds else {})
