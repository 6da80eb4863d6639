"""The section about what more images would bring."""

from typing import Any

from retrain.report.html import charts
from retrain.report.html.training_run import Section, TrainingRun
from retrain.training.learning_curve import LearningCurve


def describe(run: TrainingRun) -> Section | None:
    """Returns the section, or None if the accuracy with fewer images was not measured."""
    curve = run.learning_curve
    if curve is None:
        return None
    values = {
        "curve": curve,
        "judged_by_folds": run.held_out.evaluation.count,
        "chart": charts.draw(
            "learning-curve",
            "Accuracy against the number of training images; the values are in the table.",
            lambda axis: _plot(axis, curve),
        ),
    }
    return Section("learning_curve", "Would more images help?", values)


def _plot(axis: Any, curve: LearningCurve) -> None:
    from matplotlib.ticker import PercentFormatter

    x = [point.images for point in curve.points]
    y = [point.accuracy for point in curve.points]
    axis.fill_between(
        x,
        [point.low for point in curve.points],
        [point.high for point in curve.points],
        color=charts.ACCENT,
        alpha=0.18,
        linewidth=0,
    )
    axis.plot(x, y, "o-", color=charts.ACCENT, linewidth=2, markersize=5)
    ticks = list(x)
    if curve.doubled:
        end = 2 * x[-1]
        low, gain, high = (
            min(1, y[-1] + value)
            for value in (curve.doubled.low, curve.doubled.gain, curve.doubled.high)
        )
        axis.plot([x[-1], end], [y[-1], gain], "--", color=charts.GOOD, linewidth=2)
        axis.fill_between(
            [x[-1], end], [y[-1], low], [y[-1], high], color=charts.GOOD, alpha=0.18, linewidth=0
        )
        axis.plot(end, gain, "o", markerfacecolor="none", color=charts.GOOD, markersize=6)
        ticks.append(end)
    axis.set_xscale("log")
    axis.minorticks_off()
    axis.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axis.set(xlabel="training images", ylabel="accuracy")
    # With as many decimals as the ticks need.
    axis.yaxis.set_major_formatter(PercentFormatter(1))
