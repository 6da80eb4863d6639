"""The section with the confusion matrix, whose cells lead to the images behind them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from retrain.report.html import thumbnails
from retrain.report.html.page import percent, shorten
from retrain.report.html.training_run import Section, TrainingRun

# A matrix of more classes shows those with the most mistakes, and one row for all others.
_MAX_CLASSES, _SELECTED = 50, 30
_MAX_ROW_LABEL, _MAX_COLUMN_LABEL = 28, 18
# Cells whose images are shown, and images of each.
_MAX_MISTAKEN_CELLS, _MAX_MISTAKES, _MAX_HITS = 200, 24, 6
_MAX_THUMBNAILS = 400
_SIDE = 96
_MAX_BYTES = 1_800_000
_MAX_PAIRS = 10


@dataclass(frozen=True)
class _Cell:
    """A cell of the matrix: a true and a predicted class, and the images to show of it."""

    truth: int
    predicted: int
    count: int
    rows: tuple[int, ...]

    @property
    def anchor(self) -> str:
        return f"cell-{self.truth}-{self.predicted}"


def describe(run: TrainingRun) -> Section | None:
    """Returns the section, or None if no images were held out."""
    if not run.held_out.evaluation.count:
        return None
    counts = np.array(run.held_out.evaluation.confusion)
    mistakes = counts - np.diag(counts.diagonal())
    shown = _select_classes(mistakes)
    cells = list(_cells_with_images(run, mistakes, shown))
    anchors = {(cell.truth, cell.predicted): cell.anchor for cell in cells}
    values = {
        "columns": _labels(run, shown, _MAX_COLUMN_LABEL),
        "matrix": _matrix(run, counts, shown, anchors),
        "reduced": len(shown) < len(counts),
        "class_count": len(counts),
        "panels": list(_panels(run, cells)),
        "pairs": list(_pairs(run, counts, cells)),
        "mistake_count": int(mistakes.sum()),
    }
    return Section("confusion", "Which classes are confused", values)


def _select_classes(mistakes: np.ndarray) -> np.ndarray:
    """Returns the classes to show, in their order, int [M]."""
    if len(mistakes) <= _MAX_CLASSES:
        return np.arange(len(mistakes))
    involved = mistakes.sum(axis=0) + mistakes.sum(axis=1)
    return np.sort(np.argsort(-involved, kind="stable")[:_SELECTED])


def _labels(run: TrainingRun, shown: np.ndarray, length: int) -> list[dict[str, str]]:
    return [{"full": run.labels[i], "short": shorten(run.labels[i], length)} for i in shown]


def _matrix(
    run: TrainingRun, counts: np.ndarray, shown: np.ndarray, anchors: dict[tuple[int, int], str]
) -> list[dict[str, object]]:
    """Returns the rows of the matrix. The last row and column are for all other classes."""
    others = np.setdiff1d(np.arange(len(counts)), shown)
    rows: list[dict[str, object]] = []
    labels = _labels(run, shown, _MAX_ROW_LABEL)
    for truth, label in zip(shown.tolist(), labels, strict=True):
        total = max(int(counts[truth].sum()), 1)
        cells = [
            {
                "count": int(counts[truth, predicted]),
                "share": round(float(counts[truth, predicted]) / total, 3),
                "anchor": anchors.get((truth, predicted)),
                "right": truth == predicted,
                "title": f"{label['full']} as {run.labels[predicted]}: "
                f"{counts[truth, predicted]:,}, {percent(counts[truth, predicted] / total)}",
            }
            for predicted in shown.tolist()
        ]
        row: dict[str, object] = {"label": label, "cells": cells, "total": int(counts[truth].sum())}
        row["others"] = int(counts[truth, others].sum())
        rows.append(row)
    return rows


def _cells_with_images(
    run: TrainingRun, mistakes: np.ndarray, shown: np.ndarray
) -> Iterator[_Cell]:
    """Yields the cells with images to show: mistakes from the largest on, then hits."""
    truths, predictions = np.nonzero(mistakes)
    order = np.argsort(-mistakes[truths, predictions], kind="stable")[:_MAX_MISTAKEN_CELLS]
    for index in order:
        yield _cell(run, int(truths[index]), int(predictions[index]), _MAX_MISTAKES)
    for class_id in shown.tolist():
        cell = _cell(run, class_id, class_id, _MAX_HITS)
        if cell.count:
            yield cell


def _cell(run: TrainingRun, truth: int, predicted: int, most: int) -> _Cell:
    """Returns a cell with the most confident of its mistakes, or the least confident hits."""
    held_out = run.held_out
    rows = np.flatnonzero((held_out.class_ids == truth) & (held_out.predicted == predicted))
    scores = held_out.scores[rows]
    order = np.argsort(scores if truth == predicted else -scores, kind="stable")[:most]
    return _Cell(truth, predicted, len(rows), tuple(rows[order].tolist()))


def _panels(run: TrainingRun, cells: Sequence[_Cell]) -> Iterator[dict[str, object]]:
    held_out = run.held_out
    rows = [row for cell in cells for row in cell.rows]
    urls = thumbnails.encode_all(
        [held_out.images[row].path for row in rows[:_MAX_THUMBNAILS]],
        side=_SIDE,
        max_bytes=_MAX_BYTES,
    )
    for cell in cells:
        images = [
            {
                "name": run.name_image(held_out.images[row]),
                "url": urls.get(held_out.images[row].path),
                "score": float(held_out.scores[row]),
            }
            for row in cell.rows
        ]
        yield {
            "anchor": cell.anchor,
            "truth": run.labels[cell.truth],
            "predicted": run.labels[cell.predicted],
            "right": cell.truth == cell.predicted,
            "count": cell.count,
            "images": images,
        }


def _pairs(
    run: TrainingRun, counts: np.ndarray, cells: Sequence[_Cell]
) -> Iterator[dict[str, object]]:
    for cell in [cell for cell in cells if cell.truth != cell.predicted][:_MAX_PAIRS]:
        yield {
            "truth": run.labels[cell.truth],
            "predicted": run.labels[cell.predicted],
            "count": cell.count,
            "share": cell.count / int(counts[cell.truth].sum()),
            "anchor": cell.anchor,
        }
