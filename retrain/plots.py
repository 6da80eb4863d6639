"""Drawings of a training: how its numbers went, and the pictures that it learned from.

They are PNG files in memory, and can be wrapped for TensorBoard. Nothing here needs a screen.
"""

import io
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retrain.runtime import one_line

_DOTS_PER_INCH = 100
# Of one picture in a grid, in inches, its label included.
_CELL_WIDTH, _CELL_HEIGHT = 1.1, 1.35
_LONGEST_LABEL = 16
_COLUMNS = 8
# Fewer points are marked one by one.
_MARKED_BELOW = 30
# Where width and height are in a PNG file: https://www.w3.org/TR/png/#11IHDR
_SIZE_AT = 16
_RGBA = 4


def curves(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    steps: Sequence[int],
    x_label: str = "epoch",
    marked: int | None = None,
) -> bytes:
    """Returns a PNG file with one diagram beside the other, a curve in it for each series.

    Args:
        panels: by what is measured, such as "accuracy", the series by their names, such as "train"
            and "validation"; each has a number for each of the steps, or NaN.
        steps: where on the x axis the numbers are.
        x_label: of the x axis.
        marked: a step to point out.
    """
    figure = _figure(5.2 * len(panels), 3.8)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, series) in zip(axes, panels.items(), strict=True):
        for name, values in series.items():
            marker = "." if len(steps) < _MARKED_BELOW else ""
            axis.plot(steps, values, marker=marker, label=name)
        if marked is not None:
            axis.axvline(marked, color="grey", linestyle=":", label=f"best: {marked}")
        axis.set_title(title)
        axis.set_xlabel(x_label)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend()
    return _png(figure)


def grid(pictures: np.ndarray, labels: Sequence[str], title: str = "") -> bytes:
    """Returns a PNG file with pictures in rows, each below its label.

    Args:
        pictures: uint8 or float [N, height, width, 1 or 3], 0 to 255.
        labels: of each of the pictures.
        title: above all of them.
    """
    columns = min(_COLUMNS, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    figure = _figure(_CELL_WIDTH * columns, _CELL_HEIGHT * rows + (0.4 if title else 0))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, picture, label in zip(axes, pictures, labels, strict=False):
        pixels = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
        grey = pixels.shape[-1] == 1
        axis.imshow(pixels[..., 0] if grey else pixels, cmap="gray", vmin=0, vmax=255)
        # Signs between dollars would be set as formulas.
        axis.set_title(_short(label), fontsize=8, pad=3, parse_math=False)
    if title:
        figure.suptitle(title, fontsize=10, parse_math=False)
    return _png(figure)


def summary(tag: str, png: bytes) -> Any:
    """Returns a PNG file as a message `Summary`, which TensorBoard shows under the name `tag`."""
    from tensorboard.compat.proto import summary_pb2

    width, height = struct.unpack_from(">II", png, _SIZE_AT)
    image = summary_pb2.Summary.Image(
        height=height, width=width, colorspace=_RGBA, encoded_image_string=png
    )
    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, image=image)])


def _short(label: str) -> str:
    label = one_line(label)
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"


def _figure(width: float, height: float) -> Any:
    # Without pyplot, which looks for a screen and keeps every figure.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    # Without the name and version of the library, which would make other bytes of equal drawings.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
