"""The section with the most confident mistakes and the least confident hits, with heat maps."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from retrain.backbones import efficientnet_lite0
from retrain.data import image_reader, pixels
from retrain.heat_maps import heat_maps, overlay
from retrain.heat_maps.pooled_layers import NoHeatMapError
from retrain.report.html import thumbnails
from retrain.report.html.training_run import Section, TrainingRun
from retrain.runtimes.runtime import ModelError, NetworkOverrides
from retrain.system.batches import batches
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map

_MAX_MISTAKES, _MAX_HITS = 12, 6
_SIDE = 160


def describe(run: TrainingRun) -> Section | None:
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


def _show(run: TrainingRun, rows: Sequence[int]) -> list[dict[str, object]]:
    """Returns the images with what was predicted, and their heat maps if there are any."""
    held_out = run.held_out
    images = [held_out.images[row] for row in rows]
    decoded = _decode_all(run, [image.path for image in images])
    readable = {index: rgb for index, rgb in enumerate(decoded) if rgb is not None}
    classes = [(int(held_out.predicted[row]), int(held_out.class_ids[row])) for row in rows]
    maps = dict(
        zip(
            readable,
            _draw_maps(run, list(readable.values()), [classes[index] for index in readable]),
            strict=False,
        )
    )
    shown = []
    for index, (row, image) in enumerate(zip(rows, images, strict=True)):
        predicted, truth = classes[index]
        rgb = decoded[index]
        predicted_url, truth_url = maps.get(index, (None, None))
        shown.append(
            {
                "name": run.name_image(image),
                "truth": run.labels[truth],
                "predicted": run.labels[predicted],
                "score": float(held_out.scores[row]),
                "truth_score": float(held_out.probabilities[row, truth]),
                "url": None if rgb is None else _to_url(rgb),
                "predicted_url": predicted_url,
                "truth_url": truth_url,
            }
        )
    return shown


def _decode_all(run: TrainingRun, paths: Sequence[Path]) -> list[np.ndarray | None]:
    """Returns the pixels that the network sees; None for images that cannot be read any more."""
    backbone = run.backbone

    def decode(path: Path) -> np.ndarray | None:
        try:
            data = image_reader.read(path)
            return pixels.decode(data, backbone.height, backbone.width, fit=backbone.fit)
        except (OSError, pixels.UnreadableImageError):
            return None

    return list(parallel_map(decode, paths, processor_count()))


def _draw_maps(
    run: TrainingRun, decoded: Sequence[np.ndarray], classes: Sequence[tuple[int, int]]
) -> Iterator[tuple[str, str]]:
    """Yields data URLs of heat maps over each image, or nothing if the network has none.

    Args:
        run: The run.
        decoded: Pixels of each image.
        classes: The two classes of each image to draw heat maps for.
    """
    if not decoded:
        return
    try:
        # This run made the file from a backbone that was checked when it was loaded.
        classifier = heat_maps.load(
            run.graph, efficientnet_lite0.find, overrides=NetworkOverrides(trust_model=True)
        )
    except (NoHeatMapError, ModelError) as error:
        logging.info("The report has no heat maps: %s", error)
        return
    for batch in batches(list(zip(decoded, classes, strict=True)), classifier.batch_size):
        rgb, class_ids = zip(*batch, strict=True)
        maps = classifier.compute(np.stack(rgb), np.array(class_ids))
        for image, (predicted_map, truth_map) in zip(rgb, maps, strict=True):
            yield (
                _to_url(overlay.draw(image, predicted_map)),
                _to_url(overlay.draw(image, truth_map)),
            )


def _to_url(rgb: np.ndarray) -> str:
    image = Image.fromarray(rgb)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    return thumbnails.to_url(thumbnails.encode_pixels(image))
