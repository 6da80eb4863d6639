"""Draws metrics, confusion matrices and grids of images to PNG or JPEG files in memory.

Nothing here needs a screen.
"""

import importlib.util
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

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
COLUMNS = 8

# Sizes of a confusion matrix, in inches.
_CELL, _MAX_SIDE = 0.45, 14.0
_MAX_LABEL_LENGTH = 16
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
    title: str = "",
    columns: int = COLUMNS,
    file_format: str = "PNG",
) -> bytes:
    """Returns an image file with a grid of images, each below its label.

    Args:
        images: uint8 or float [N, height, width, 1 or 3], 0 to 255.
        labels: Label of each image.
        title: Title above all images.
        columns: Number of images in a row.
        file_format: "PNG", or "JPEG" for a file of about a sixth of the size, with small errors.
    """
    cells = [_scale(image) for image in images]
    label_font, title_font = (_load_font(size) for size in (_FONT_SIZE, _FONT_SIZE + 2))
    columns = min(columns, len(cells))
    cell_width, cell_height = cells[0].width + _GAP, cells[0].height + _LINE_HEIGHT + _GAP
    top = _GAP + (_LINE_HEIGHT + _GAP if title else 0)
    title = one_line(title)
    size = (
        max(columns * cell_width + _GAP, round(title_font.getlength(title)) + 2 * _GAP),
        math.ceil(len(cells) / columns) * cell_height + top,
    )
    sheet = Image.new("RGB", size, "white")
    canvas = ImageDraw.Draw(sheet)
    canvas.text((size[0] / 2, _GAP), title, "black", title_font, anchor="ma")
    for number, (cell, label) in enumerate(zip(cells, labels, strict=True)):
        row, column = divmod(number, columns)
        left, upper = _GAP + column * cell_width, top + row * cell_height
        text = _shorten_to_width(label, label_font, cell.width)
        canvas.text((left + cell.width / 2, upper), text, "black", label_font, anchor="ma")
        sheet.paste(cell, (left, upper + _LINE_HEIGHT))
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


def _load_font(size: int) -> ImageFont.FreeTypeFont:
    """Returns matplotlib's font, without importing matplotlib. Pillow's font is Latin only."""
    spec = importlib.util.find_spec("matplotlib")
    assert spec and spec.origin
    folder = Path(spec.origin).with_name("mpl-data") / "fonts" / "ttf"
    return ImageFont.truetype(folder / "DejaVuSans.ttf", size)


def _shorten_to_width(label: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    label = one_line(label)
    text = label
    while font.getlength(text) > width and label:
        label = label[:-1]
        text = f"{label}…"
    return text


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
    figure = _new_figure(side + 2.6, side + 1.8)
    axis = figure.subplots()
    matrix = axis.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    bar = figure.colorbar(matrix, ax=axis, shrink=min(1, 3 / side), format="{x:.0%}")
    bar.set_label("fraction of the class")
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class")
    if len(labels) <= _MAX_CLASSES_WITH_LABELS:
        size = min(9.0, 72 * side / len(labels) * 0.8)
        names = [_shorten(label) for label in labels]
        axis.set_xticks(range(len(labels)), names, rotation=90, size=size, parse_math=False)
        axis.set_yticks(range(len(labels)), names, size=size, parse_math=False)
    if len(labels) <= _MAX_CLASSES_WITH_NUMBERS:
        for row, column in np.argwhere(counts):
            colour = "white" if fractions[row, column] > 0.5 else "black"
            text = f"{counts[row, column]:,}"
            axis.text(column, row, text, ha="center", va="center", color=colour, size=8)
    if title:
        figure.suptitle(title, fontsize=10, parse_math=False)
    return _to_png(figure)


def _shorten(label: str) -> str:
    label = one_line(label)
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
