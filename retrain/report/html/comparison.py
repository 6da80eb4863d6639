"""The section that compares pretrained networks, and the new classifier with an earlier one."""

from collections.abc import Sequence

from retrain.comparison.baseline import BaselineComparison, DifferingImage
from retrain.report.html import thumbnails
from retrain.report.html.page import show
from retrain.report.html.training_run import Section, TrainingRun

_MAX_IMAGES = 12
_SIDE = 120
_MAX_BYTES = 300_000


def describe(run: TrainingRun) -> Section | None:
    """Returns the section, or None if nothing was compared."""
    architectures, baseline = run.comparisons
    if architectures is None and baseline is None:
        return None
    values = {
        "networks": architectures
        and [
            {
                "name": show(result.name),
                "accuracy": result.accuracy,
                "interval": result.interval,
                "milliseconds": result.milliseconds,
                "size": result.size,
                "selected": number == architectures.selected,
            }
            for number, result in enumerate(architectures.results)
        ],
        "select": architectures and architectures.select,
        "count": architectures and architectures.results[0].count,
        "baseline": baseline and _describe_baseline(run, baseline),
    }
    return Section("comparison", "Compared with others", values)


def _describe_baseline(run: TrainingRun, comparison: BaselineComparison) -> dict[str, object]:
    counts = comparison.counts
    return {
        "graph": show(comparison.graph),
        "class_count": len(comparison.common_labels),
        "counts": counts,
        "verdict": counts.verdict() if counts.count else "",
        "seen_count": comparison.seen_count,
        "differing": [
            ("new", comparison.gained, _show_images(run, comparison.gained)),
            ("old", comparison.lost, _show_images(run, comparison.lost)),
        ],
    }


def _show_images(run: TrainingRun, images: Sequence[DifferingImage]) -> list[dict[str, object]]:
    shown = images[:_MAX_IMAGES]
    urls = thumbnails.encode_all([image.path for image in shown], side=_SIDE, max_bytes=_MAX_BYTES)
    return [
        {
            "name": run.name_path(image.path),
            "url": urls.get(image.path),
            "label": show(image.label),
            "new": show(image.new),
            "old": show(image.old),
        }
        for image in shown
    ]
