"""Draws metrics and confusion matrices as PNG files in memory, without a screen."""

import functools
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrain.report.label_fonts import PlotLabels, dejavu, plot_labels

_DOTS_PER_INCH = 100
# Curves with fewer points have markers.
_MAX_POINTS_WITH_MARKERS = 30
# A curve with more points is drawn as means of neighbouring points, over the points themselves.
_MAX_POINTS = 60

# Sizes of a confusion matrix, in inches.
_CELL, _MAX_SIDE = 0.45, 14.0
_MAX_LABEL_LENGTH = 16
_LEGEND_LETTERS_PER_INCH, _LEGEND_LINE = 13, 0.17
# A matrix of more classes has no numbers, or not even labels.
_MAX_CLASSES_WITH_NUMBERS, _MAX_CLASSES_WITH_LABELS = 30, 120


def draw_curves(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    steps: Sequence[float],
    *,
    x_label: str = "epoch",
    selected: float | None = None,
    logarithmic: bool = False,
) -> bytes:
    """Returns a PNG file with line plots side by side.

    Args:
        panels: The series of each plot, by the title of the plot, such as "accuracy", and the name
            of the series, such as "train" or "validation". Each series has a value, or NaN, for
            each of the steps.
        steps: x values of all series.
        x_label: Label of the x axis.
        selected: Step to mark as selected.
        logarithmic: Whether the x axis is logarithmic.
    """
    figure = _new_figure(5.2 * len(panels), 3.8)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, series) in zip(axes, panels.items(), strict=True):
        for name, values in series.items():
            _draw_series(axis, np.asarray(steps), np.asarray(values, float), name)
        if selected is not None:
            axis.axvline(selected, color="grey", linestyle=":", label=f"selected: {selected:g}")
        axis.set_title(title)
        axis.set_xlabel(x_label)
        if logarithmic:
            axis.set_xscale("log")
        else:
            if len(steps) == 1:
                # Otherwise the axis would show fractions of a step.
                axis.set_xlim(steps[0] - 1, steps[0] + 1)
            axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend()
    return _to_png(figure)


def _draw_series(axis: Any, steps: np.ndarray, values: np.ndarray, name: str) -> None:
    window = math.ceil(len(steps) / _MAX_POINTS)
    if window < 2:
        marker = "." if len(steps) < _MAX_POINTS_WITH_MARKERS else ""
        # A single point has no line, so it needs a visible marker.
        axis.plot(steps, values, marker="o" if len(steps) == 1 else marker, label=name)
        return
    (faint,) = axis.plot(steps, values, alpha=0.25, linewidth=0.8)
    end = len(steps) // window * window
    means = (values[:end].reshape(-1, window).mean(axis=1) for values in (steps, values))
    axis.plot(*means, color=faint.get_color(), label=f"{name}, means of {window}")


def draw_confusion_matrix(counts: np.ndarray, labels: Sequence[str], *, title: str = "") -> bytes:
    """Returns a PNG file with a confusion matrix.

    The numbers are counts of images. The colours are fractions of the images of a class, so that
    small classes are as visible as large ones.

    Args:
        counts: Number of images of class `i` with predicted class `j`, int [classes, classes].
        labels: Labels of the classes.
        title: Title above the matrix.
    """
    counts = np.asarray(counts)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(_CELL * len(labels), _MAX_SIDE)
    names = legend = None
    if len(labels) <= _MAX_CLASSES_WITH_LABELS:
        names = plot_labels(tuple(labels))
        legend = names.legend(labels, width=round(_LEGEND_LETTERS_PER_INCH * side))
    figure = _new_figure(side + 2.6, side + 1.8 + _LEGEND_LINE * len(legend or ()))
    axis = figure.subplots()
    matrix = axis.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    bar = figure.colorbar(matrix, ax=axis, shrink=min(1, 3 / side), format="{x:.0%}")
    bar.set_label("fraction of the class")
    axis.set_xlabel("\n".join(["predicted class", *(["", *legend] if legend else [])]))
    axis.set_ylabel("true class")
    if names:
        size = min(9.0, 72 * side / len(labels) * 0.8)
        _set_ticks(axis, names, labels, size)
    if len(labels) <= _MAX_CLASSES_WITH_NUMBERS:
        for row, column in np.argwhere(counts):
            colour = "white" if fractions[row, column] > 0.5 else "black"
            text = f"{counts[row, column]:,}"
            axis.text(column, row, text, ha="center", va="center", color=colour, size=8)
    if title:
        figure.suptitle(title, fontsize=10, parse_math=False)
    return _to_png(figure)


def _set_ticks(axis: Any, names: PlotLabels, labels: Sequence[str], size: float) -> None:
    """Shows the labels at both axes of a confusion matrix."""
    runs = [names.runs(_shorten(names.shown(label))) for label in labels]
    texts = ["".join(run.text for run in label_runs) for label_runs in runs]
    ticks = range(len(labels))
    axis.set_xticks(ticks, texts, rotation=90, size=size, parse_math=False)
    axis.set_yticks(ticks, texts, size=size, parse_math=False)
    for position, label_runs in enumerate(runs):
        families = [_family(font) for font in dict.fromkeys(run.font for run in label_runs)]
        for ticks_of_axis in (axis.get_xticklabels(), axis.get_yticklabels()):
            ticks_of_axis[position].set_fontfamily(families)


@functools.cache
def _family(path: Path) -> str:
    """Makes a font known to matplotlib, and returns the name of its family."""
    from matplotlib import font_manager, ft2font

    if path != dejavu():
        font_manager.fontManager.addfont(path)
    return str(ft2font.FT2Font(path).family_name)


def _shorten(label: str) -> str:
    return label if len(label) <= _MAX_LABEL_LENGTH else f"{label[: _MAX_LABEL_LENGTH - 1]}…"


def _new_figure(width: float, height: float) -> Any:
    # Without pyplot, which looks for a screen and keeps every figure in memory.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")


def _to_png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    # Without the library's name and version, equal plots are equal files.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
