"""The section with the most confident mistakes and the least confident hits, with heat maps."""

import logging
from collections.abc import Sequence

import numpy as np
from PIL import Image

from retrain.backbones import efficientnet_lite0
from retrain.data import image_reader, pixels
from retrain.heat_maps import heat_maps, overlay
from retrain.report.html import thumbnails
from retrain.report.html.run import Run, Section
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map

_MAX_MISTAKES, _MAX_HITS = 16, 8
_SIDE = 160


def describe(run: Run) -> Section | None:
    """Returns the section, or None if no images were held out."""
    held_out = run.held_out
    if not held_out.evaluation.count:
        return None
    mistakes = _rank(np.where(held_out.right, -1, held_out.scores))[: (~held_out.right).sum()]
    hits = _rank(np.where(held_out.right, -held_out.scores, -2))[: held_out.right.sum()]
    rows = [*mistakes[:_MAX_MISTAKES], *hits[:_MAX_HITS]]
    shown = _show(run, rows)
    count = min(len(mistakes), _MAX_MISTAKES)
    values = {
        "mistakes": shown[:count],
        "mistake_count": len(mistakes),
        "hits": shown[count:],
        "with_maps": any(image["predicted_url"] for image in shown),
    }
    return Section("mistakes", "Images to look at", values)


def _rank(values: np.ndarray) -> list[int]:
    return np.argsort(-values, kind="stable").tolist()


def _show(run: Run, rows: Sequence[int]) -> list[dict[str, object]]:
    """Returns the images with what was predicted, and their heat maps if there are any."""
    held_out = run.held_out
    images = [held_out.images[row] for row in rows]

    def decode(path) -> np.ndarray | None:
        try:
            return pixels.decode(image_reader.read(path), run.backbone.height, run.backbone.width)
        except (OSError, pixels.UnreadableImageError):
            return None

    decoded = list(parallel_map(decode, [image.path for image in images], processor_count()))
    wanted = [
        (index, class_id)
        for index, row in enumerate(rows)
        if decoded[index] is not None
        for class_id in dict.fromkeys((int(held_out.predicted[row]), images[index].class_id))
    ]
    maps = dict(zip(wanted, _draw_maps(run, decoded, wanted), strict=False))
    shown = []
    for index, (row, image) in enumerate(zip(rows, images, strict=True)):
        truth, predicted = image.class_id, int(held_out.predicted[row])
        rgb = decoded[index]
        shown.append(
            {
                "name": run.name_image(image),
                "truth": run.labels[truth],
                "predicted": run.labels[predicted],
                "score": float(held_out.scores[row]),
                "truth_score": float(held_out.probabilities[row, truth]),
                "url": None if rgb is None else _to_url(rgb),
                "predicted_url": maps.get((index, predicted)),
                "truth_url": maps.get((index, truth)) if truth != predicted else None,
            }
        )
    return shown


def _draw_maps(
    run: Run, decoded: Sequence[np.ndarray | None], wanted: Sequence[tuple[int, int]]
) -> list[str]:
    """Returns data URLs of images with heat maps, or nothing if the network has none.

    Args:
        run: The run.
        decoded: Pixels of each image.
        wanted: Index of the image and class of each heat map.
    """
    if not wanted:
        return []
    try:
        classifier = heat_maps.load(run.graph, efficientnet_lite0.find)
    except heat_maps.NoHeatMapError as error:
        logging.info("The report has no heat maps: %s", error)
        return []
    batch = np.stack([decoded[index] for index, _ in wanted])
    maps = classifier.compute(batch, np.array([class_id for _, class_id in wanted]))
    return [_to_url(overlay.draw(rgb, one)) for rgb, one in zip(batch, maps, strict=True)]


def _to_url(rgb: np.ndarray) -> str:
    image = Image.fromarray(rgb)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    return thumbnails.to_url(thumbnails.encode_pixels(image))
