"""All numbers of a run as JSON."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

from retrain.backbones.engines import INT8
from retrain.config import TrainingConfig
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.export.formats import Written
from retrain.export.parity import Checked
from retrain.system.files import write_file
from retrain.system.phase_timer import PhaseTimer
from retrain.training.results import FineTuned, Trained


def write_metrics(
    config: TrainingConfig,
    trained: Mapping[str, Trained],
    fine_tuned: FineTuned | None,
    checked: Sequence[Checked],
    timer: PhaseTimer,
) -> list[Written]:
    """Writes all numbers of the run, if the config asks for them.

    Args:
        config: of the run.
        trained: by the name of the engine that the features are of; the graph's head last.
        fine_tuned: what came out where the network learned, too.
        checked: what was found out of each classifier that was written.
        timer: of the run.
    """
    path = config.output.metrics_json
    if path is None:
        return []
    write_file(path, metrics(config, trained, fine_tuned, checked, timer))
    return [Written(path, "the numbers of this run")]


def metrics(
    config: TrainingConfig,
    trained: Mapping[str, Trained],
    fine_tuned: FineTuned | None,
    checked: Sequence[Checked],
    timer: PhaseTimer,
) -> str:
    """Returns all numbers of a run as JSON.

    Args:
        config: of the run.
        trained: by the name of the engine that the features are of; the graph's head last.
        fine_tuned: what came out where the network learned, too.
        checked: what was found out of each classifier that was written.
        timer: of the run.
    """
    *_, best = trained.values()
    features, dataset = best.features, best.features.dataset
    content = {
        "format_version": 1,
        "labels": dataset.labels,
        "folders": dataset.folders,
        "architecture": config.backbone.name,
        "pictures": {
            **{part: len(dataset.split(part)) for part in (TRAINING, VALIDATION, TEST)},
            "bottlenecks_computed": sum(t.features.computed for t in trained.values()),
            "unreadable": {
                str(path): why
                for it in trained.values()
                for path, why in it.features.unreadable.items()
            },
        },
        "training": config.used(),
        "engine": features.engine,
        **_evaluations(best),
        **{f"in_{INT8}": _evaluations(t) for name, t in trained.items() if name == INT8},
        **({"fine_tuning": _fine_tuning(fine_tuned, dataset.labels)} if fine_tuned else {}),
        "exports": [dataclasses.asdict(file) for file in checked],
        "seconds": {phase: round(spent, 3) for phase, spent in timer.seconds.items()},
    }
    return json.dumps(content, indent=2) + "\n"


def _fine_tuning(fine_tuned: FineTuned, labels: Sequence[str]) -> dict[str, object]:
    return {
        **fine_tuned._asdict(),
        "course": dataclasses.asdict(fine_tuned.history),
        "with_it": fine_tuned.with_it.as_json(labels),
        "without": fine_tuned.without.as_json(labels),
    }


def _evaluations(trained: Trained) -> dict[str, object]:
    labels = trained.features.dataset.labels
    return {part: evaluation.as_json(labels) for part, evaluation in trained.evaluations.items()}
