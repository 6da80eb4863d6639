"""The section about answering only if the score is high enough."""

from typing import Any, NamedTuple

import numpy as np

from retrain.report.html import charts
from retrain.report.html.training_run import Section, TrainingRun

_THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)
# Shares of right answers to aim at, and the smallest share of images to answer for each of them.
_AIMS = ((0.99, 0.7), (0.98, 0.7), (0.95, 0.6), (0.9, 0.5))


class Threshold(NamedTuple):
    """What happens if only images with a score of at least `score` get an answer.

    Attributes:
        score: The threshold, 0 to 1.
        answered: Share of the images that get an answer, 0 to 1.
        accuracy: Share of the answers that are right; None if there are no answers.
        wrong: Number of wrong answers.
    """

    score: float
    answered: float
    accuracy: float | None
    wrong: int


def measure(run: TrainingRun) -> list[Threshold]:
    """Returns what each threshold brings."""
    held_out = run.held_out
    thresholds = []
    for score in _THRESHOLDS:
        answered = held_out.scores >= score
        right = held_out.right[answered]
        accuracy = float(right.mean()) if len(right) else None
        wrong = int((~right).sum())
        thresholds.append(Threshold(score, float(answered.mean()), accuracy, wrong))
    return thresholds


def recommend(thresholds: list[Threshold]) -> Threshold | None:
    """Returns the lowest threshold whose answers are right often enough, or None.

    The more reliable the answers can be without leaving too many images to people, the more is
    aimed at.
    """
    for accuracy, share in _AIMS:
        for threshold in thresholds:
            enough = threshold.accuracy is not None and threshold.accuracy >= accuracy
            if enough and threshold.answered >= share:
                return threshold
    return None


def describe(run: TrainingRun) -> Section | None:
    """Returns the section, or None if no images were held out."""
    if not run.held_out.evaluation.count:
        return None
    thresholds = measure(run)
    recommended = recommend(thresholds)
    values = {
        "rows": thresholds,
        "recommended": recommended,
        "count": run.held_out.evaluation.count,
        "chart": charts.draw(
            "thresholds",
            "Share of right answers against the share of images that get an answer; the values "
            "are in the table.",
            lambda axis: _plot(axis, run, recommended),
        ),
    }
    return Section("thresholds", "Answer only when sure", values)


def _plot(axis: Any, run: TrainingRun, recommended: Threshold | None) -> None:
    order = np.argsort(-run.held_out.scores, kind="stable")
    right = run.held_out.right[order]
    answered = np.arange(1, len(right) + 1)
    accuracy = np.cumsum(right) / answered
    # The first few answers say little, and one mistake among them would fill the chart.
    start = min(len(right) - 1, max(10, len(right) // 20))
    x, y = answered[start:] / len(right), accuracy[start:]
    axis.plot(x, y, color=charts.ACCENT, linewidth=2)
    if recommended and recommended.accuracy is not None:
        point = recommended.answered, recommended.accuracy
        axis.plot(*point, "o", color=charts.GOOD, markersize=8)
        axis.annotate(
            f"score ≥ {recommended.score:g}" if recommended.score else "all",
            point,
            xytext=(-6, -16),
            textcoords="offset points",
            ha="right",
            color=charts.GOOD,
        )
    low = float(min(y.min(), accuracy[-1]))
    axis.set(xlabel="share of images that get an answer", ylabel="share of right answers")
    axis.set(xlim=(0, 1.02), ylim=(max(0, low - max(0.02, 0.15 * (1 - low) + 0.005)), 1.004))
    for one in (axis.xaxis, axis.yaxis):
        one.set_major_formatter("{x:.0%}")
    if low > 0.9:
        axis.yaxis.set_major_formatter("{x:.1%}")
