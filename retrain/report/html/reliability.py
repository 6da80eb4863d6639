"""The section about whether scores can be trusted, with a reliability diagram."""

from typing import Any

import numpy as np

from retrain.report.html import charts
from retrain.report.html.training_run import Section, TrainingRun
from retrain.training.accuracy_interval import wilson_interval

_BINS = 10
# Bins with fewer images say little.
_MIN_IMAGES = 5


def describe(run: TrainingRun) -> Section | None:
    """Returns the section, or None if no images were held out."""
    held_out = run.held_out
    error = held_out.evaluation.expected_calibration_error
    if error is None:
        return None
    bins = np.clip((held_out.scores * _BINS).astype(int), 0, _BINS - 1)
    rows = []
    for number in range(_BINS):
        members = bins == number
        if count := int(members.sum()):
            right = int(held_out.right[members].sum())
            low, high = wilson_interval(right / count, count)
            rows.append(
                {
                    "low": number / _BINS,
                    "high": (number + 1) / _BINS,
                    "count": count,
                    "score": float(held_out.scores[members].mean()),
                    "accuracy": right / count,
                    "interval": (low, high),
                }
            )
    bias = float(held_out.scores.mean()) - float(held_out.right.mean())
    values = {
        "rows": rows,
        "count": held_out.evaluation.count,
        "error": error,
        "bias": bias,
        "calibrated": run.config.head.calibrate,
        "chart": charts.draw(
            "reliability",
            "Accuracy of the predictions against their scores; the values are in the table.",
            lambda axis: _plot(axis, rows),
        ),
    }
    return Section("reliability", "Can the scores be trusted?", values)


def _plot(axis: Any, rows: list[dict[str, Any]]) -> None:
    axis.plot([0, 1], [0, 1], color=charts.MUTED, linestyle="--", linewidth=1)
    shown = [row for row in rows if row["count"] >= _MIN_IMAGES] or rows
    x, y = ([row[name] for row in shown] for name in ("score", "accuracy"))
    low, high = zip(*(row["interval"] for row in shown), strict=True)
    errors = [np.maximum(np.subtract(y, low), 0), np.maximum(np.subtract(high, y), 0)]
    axis.errorbar(
        x, y, yerr=errors, fmt="o-", color=charts.ACCENT, capsize=3, linewidth=1.5, markersize=5
    )
    axis.set(xlabel="score", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.02))
    for one in (axis.xaxis, axis.yaxis):
        one.set_major_formatter("{x:.0%}")
