"""Draws metrics, confusion matrices and grids of images to PNG or JPEG files in memory.

Nothing here needs a screen.
"""

import functools
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from retrain.report.label_fonts import PlotLabels, Run, dejavu, plot_labels
from retrain.system.text import one_line

_DOTS_PER_INCH = 100
# Curves with fewer points have markers.
_MAX_POINTS_WITH_MARKERS = 30
# A curve with more points is drawn as means of neighbouring points, over the points themselves.
_MAX_POINTS = 60

# Sizes in an image grid, in pixels. Images are scaled by an integer to about this side length.
_SIDE = 112
_GAP = 8
_FONT_SIZE, _LINE_HEIGHT = 12, 18
# Mean width of a letter.
_LEGEND_LETTER = 8
COLUMNS = 8

# Sizes of a confusion matrix, in inches.
_CELL, _MAX_SIDE = 0.45, 14.0
_MAX_LABEL_LENGTH = 16
_LEGEND_LETTERS_PER_INCH, _LEGEND_LINE = 13, 0.17
# A matrix of more classes has no numbers, or not even labels.
_MAX_CLASSES_WITH_NUMBERS, _MAX_CLASSES_WITH_LABELS = 30, 120


def curves(
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


def sample_per_class(class_ids: np.ndarray, count: int) -> np.ndarray:
    """Returns the indices of `count` examples, or of all if there are fewer, int [M].

    Each class has about the same number of examples, and the examples are sorted by class.

    Args:
        class_ids: Classes of all examples, int [N].
        count: Number of examples to return.
    """
    by_class = np.argsort(class_ids, kind="stable")
    _, counts = np.unique(class_ids, return_counts=True)
    ranks = np.concatenate([np.arange(class_count) for class_count in counts])
    return by_class[np.sort(np.argsort(ranks, kind="stable")[:count])]


def image_grid(
    images: Sequence[np.ndarray] | np.ndarray,
    labels: Sequence[str],
    *,
    all_labels: Sequence[str] = (),
    title: str = "",
    columns: int = COLUMNS,
    file_format: str = "PNG",
) -> bytes:
    """Returns an image file with a grid of images, each below its label.

    Args:
        images: uint8 or float [N, height, width, 1 or 3], 0 to 255.
        labels: Label of each image.
        all_labels: Labels of all classes in their order, if there are more than in `labels`.
        title: Title above all images.
        columns: Number of images in a row.
        file_format: "PNG", or "JPEG" for a file of about a sixth of the size, with small errors.
    """
    cells = [_scale(image) for image in images]
    names = plot_labels(tuple(all_labels or dict.fromkeys(labels)))
    title_font = _load_font(dejavu(), _FONT_SIZE + 2)
    columns = min(columns, len(cells))
    cell_width, cell_height = cells[0].width + _GAP, cells[0].height + _LINE_HEIGHT + _GAP
    top = _GAP + (_LINE_HEIGHT + _GAP if title else 0)
    title = one_line(title)
    legend = names.legend(labels, width=columns * cell_width // _LEGEND_LETTER)
    legend_font = _load_font(dejavu(), _FONT_SIZE)
    bottom = top + math.ceil(len(cells) / columns) * cell_height
    lengths = [title_font.getlength(title), *(legend_font.getlength(line) for line in legend)]
    size = (
        max(columns * cell_width + _GAP, round(max(lengths)) + 2 * _GAP),
        bottom + len(legend) * _LINE_HEIGHT,
    )
    sheet = Image.new("RGB", size, "white")
    canvas = ImageDraw.Draw(sheet)
    canvas.text((size[0] / 2, _GAP), title, "black", title_font, anchor="ma")
    for number, (cell, label) in enumerate(zip(cells, labels, strict=True)):
        row, column = divmod(number, columns)
        left, upper = _GAP + column * cell_width, top + row * cell_height
        _draw_label(canvas, names, label, width=cell.width, corner=(left, upper))
        sheet.paste(cell, (left, upper + _LINE_HEIGHT))
    for number, line in enumerate(legend):
        canvas.text((_GAP, bottom + number * _LINE_HEIGHT), line, "black", legend_font)
    buffer = io.BytesIO()
    sheet.save(buffer, file_format, quality=90)
    return buffer.getvalue()


def _scale(pixels: np.ndarray) -> Image.Image:
    if pixels.dtype != np.uint8:
        pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    side = max(image.size)
    if side > _SIDE:
        return image.reduce(round(side / _SIDE))
    factor = _SIDE // side
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


@functools.cache
def _load_font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def _draw_label(
    canvas: ImageDraw.ImageDraw,
    names: PlotLabels,
    label: str,
    *,
    width: int,
    corner: tuple[int, int],
) -> None:
    """Draws a label in the middle of a cell, shortened to the width of the cell."""
    shown = names.shown(label)
    runs = names.runs(shown)
    while (length := _length(runs)) > width and shown:
        shown = shown[:-1]
        runs = [*names.runs(shown), Run("…", dejavu())]
    left, upper = corner
    x, baseline = left + (width - length) / 2, upper + _FONT_SIZE
    for run in runs:
        font = _load_font(run.font, _FONT_SIZE)
        canvas.text((x, baseline), run.text, "black", font, anchor="ls")
        x += font.getlength(run.text)


def _length(runs: Sequence[Run]) -> float:
    return sum(_load_font(run.font, _FONT_SIZE).getlength(run.text) for run in runs)


def confusion_matrix(counts: np.ndarray, labels: Sequence[str], *, title: str = "") -> bytes:
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
