"""Draws grids of images, each below its label, as PNG or JPEG files in memory."""

import functools
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from retrain.report.label_fonts import PlotLabels, Run, dejavu, plot_labels
from retrain.system.text import one_line

# Sizes in pixels. Images are scaled by an integer to about this side length.
_SIDE = 112
_GAP = 8
_FONT_SIZE, _LINE_HEIGHT = 12, 18
# Mean width of a letter.
_LEGEND_LETTER = 8
COLUMNS = 8


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


def draw_grid(
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
