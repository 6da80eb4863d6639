"""Plots of a training: how its numbers went, the images that it learned from, its mistakes.

They are files in memory, PNG if nothing else is said, and can be wrapped for TensorBoard. Nothing
here needs a screen.
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
# Fewer points are marked one by one.
_MARKED_BELOW = 30
# Of more points, means of so many neighbours each are drawn, with the points faintly behind them.
_MOST_POINTS = 60

# Of an image in a grid, in pixels; it is enlarged or shrunk by a whole number to come near.
_SIDE = 112
_GAP = 8
_LETTERS, _LINE = 12, 18
COLUMNS = 8

# In inches, of a confusion matrix.
_CELL, _LARGEST = 0.45, 14.0
_LONGEST_LABEL = 16
# More classes are shown without the numbers, and still more without labels.
_MOST_WITH_NUMBERS, _MOST_WITH_LABELS = 30, 120


def curves(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    steps: Sequence[float],
    x_label: str = "epoch",
    marked: float | None = None,
    logarithmic: bool = False,
) -> bytes:
    """Returns a PNG file with one diagram beside the other, a curve in it for each series.

    Args:
        panels: by what is measured, such as "accuracy", the series by their names, such as "train"
            and "validation"; each has a number for each of the steps, or NaN.
        steps: where on the x axis the numbers are.
        x_label: of the x axis.
        marked: the step that was chosen, to point out.
        logarithmic: whether equal distances on the x axis are equal factors.
    """
    figure = _figure(5.2 * len(panels), 3.8)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, series) in zip(axes, panels.items(), strict=True):
        for name, values in series.items():
            _draw_series(axis, np.asarray(steps), np.asarray(values, float), name)
        if marked is not None:
            axis.axvline(marked, color="grey", linestyle=":", label=f"chosen: {marked:g}")
        axis.set_title(title)
        axis.set_xlabel(x_label)
        if logarithmic:
            axis.set_xscale("log")
        else:
            if len(steps) == 1:
                # Or the axis would show small parts of a step.
                axis.set_xlim(steps[0] - 1, steps[0] + 1)
            axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend()
    return _png(figure)


def _draw_series(axis: Any, steps: np.ndarray, values: np.ndarray, name: str) -> None:
    together = math.ceil(len(steps) / _MOST_POINTS)
    if together < 2:
        marker = "." if len(steps) < _MARKED_BELOW else ""
        # A point without a line to it must be seen, too.
        axis.plot(steps, values, marker="o" if len(steps) == 1 else marker, label=name)
        return
    (faint,) = axis.plot(steps, values, alpha=0.25, linewidth=0.8)
    whole = len(steps) // together * together
    means = (values[:whole].reshape(-1, together).mean(axis=1) for values in (steps, values))
    axis.plot(*means, color=faint.get_color(), label=f"{name}, means of {together}")


def some_of_each(class_ids: np.ndarray, count: int) -> np.ndarray:
    """Returns the numbers of `count` examples to show, int [M]; of all where there are fewer.

    They are about as many of each class, and ordered by it.

    Args:
        class_ids: of all examples, int [N].
        count: how many to show.
    """
    by_class = np.argsort(class_ids, kind="stable")
    _, counts = np.unique(class_ids, return_counts=True)
    ranks = np.concatenate([np.arange(of_one) for of_one in counts])
    return by_class[np.sort(np.argsort(ranks, kind="stable")[:count])]


def grid(
    images: Sequence[np.ndarray] | np.ndarray,
    labels: Sequence[str],
    title: str = "",
    columns: int = COLUMNS,
    kind: str = "PNG",
) -> bytes:
    """Returns a file with images in rows, each below its label, pixel by pixel.

    Args:
        images: uint8 or float [N, height, width, 1 or 3], 0 to 255.
        labels: of each of the images.
        title: above all of them.
        columns: images in a row.
        kind: of the file; JPEG is a sixth as large, but not exact.
    """
    cells = [_cell(image) for image in images]
    fonts = [_font(size) for size in (_LETTERS, _LETTERS + 2)]
    columns = min(columns, len(cells))
    width, height = cells[0].width + _GAP, cells[0].height + _LINE + _GAP
    top = _GAP + (_LINE + _GAP if title else 0)
    title = one_line(title)
    size = (
        max(columns * width + _GAP, round(fonts[1].getlength(title)) + 2 * _GAP),
        math.ceil(len(cells) / columns) * height + top,
    )
    sheet = Image.new("RGB", size, "white")
    drawing = ImageDraw.Draw(sheet)
    drawing.text((size[0] / 2, _GAP), title, "black", fonts[1], anchor="ma")
    for number, (cell, label) in enumerate(zip(cells, labels, strict=True)):
        row, column = divmod(number, columns)
        left, upper = _GAP + column * width, top + row * height
        text = _fitting(label, fonts[0], cell.width)
        drawing.text((left + cell.width / 2, upper), text, "black", fonts[0], anchor="ma")
        sheet.paste(cell, (left, upper + _LINE))
    buffer = io.BytesIO()
    sheet.save(buffer, kind, quality=90)
    return buffer.getvalue()


def _cell(pixels: np.ndarray) -> Image.Image:

    if pixels.dtype != np.uint8:
        pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    side = max(image.size)
    if side <= _SIDE:
        factor = _SIDE // side
        size = (image.width * factor, image.height * factor)
        return image.resize(size, Image.Resampling.NEAREST)
    return image.reduce(round(side / _SIDE))


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Returns the letters that matplotlib has, without loading it; Pillow's own are of English."""
    found = importlib.util.find_spec("matplotlib")
    assert found and found.origin
    folder = Path(found.origin).with_name("mpl-data") / "fonts" / "ttf"
    return ImageFont.truetype(folder / "DejaVuSans.ttf", size)


def _fitting(label: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    label = one_line(label)
    shown = label
    while font.getlength(shown) > width and label:
        label = label[:-1]
        shown = f"{label}…"
    return shown


def confusion(counts: np.ndarray, labels: Sequence[str], title: str = "") -> bytes:
    """Returns a PNG file with a confusion matrix.

    Colours are shares of the images of a class, so that small classes show as well as large
    ones; numbers are images.

    Args:
        counts: how many images of class `i` were taken for `j`, int [classes, classes].
        labels: of the classes.
        title: above it.
    """
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(_CELL * len(labels), _LARGEST)
    figure = _figure(side + 2.6, side + 1.8)
    axis = figure.subplots()
    shown = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    bar = figure.colorbar(shown, ax=axis, shrink=min(1, 3 / side), format="{x:.0%}")
    bar.set_label("of the class's images")
    axis.set_xlabel("label given")
    axis.set_ylabel("category")
    if len(labels) <= _MOST_WITH_LABELS:
        size = min(9.0, 72 * side / len(labels) * 0.8)
        names = [_short(label) for label in labels]
        axis.set_xticks(range(len(labels)), names, rotation=90, size=size, parse_math=False)
        axis.set_yticks(range(len(labels)), names, size=size, parse_math=False)
    if len(labels) <= _MOST_WITH_NUMBERS:
        for row, column in np.argwhere(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = f"{counts[row, column]:,}"
            axis.text(column, row, text, ha="center", va="center", color=colour, size=8)
    if title:
        figure.suptitle(title, fontsize=10, parse_math=False)
    return _png(figure)


def _short(label: str) -> str:
    label = one_line(label)
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"


def _figure(width: float, height: float) -> Any:
    # Without pyplot, which looks for a screen and keeps every figure.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    # Without the name and version of the library, which would make other bytes of equal plots.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
