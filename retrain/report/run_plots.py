"""The plots of a run: how the training went, what it learned from, and what it confuses."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.config import DistortionOptions, TrainingConfig
from retrain.data import distortions
from retrain.data.dataset import ImageFile
from retrain.data.pixels import UnreadableImageError
from retrain.data.splits import TRAINING
from retrain.errors import UserError
from retrain.export.formats import Written
from retrain.report import plots
from retrain.system.files import check_folder_writable, write_file
from retrain.system.threads import parallel_map, processors
from retrain.training import summaries
from retrain.training.evaluation import Evaluation
from retrain.training.history import TrainingHistory
from retrain.training.results import FineTuned, Trained

_SHOWN = 24
# Of one image, where it is varied: itself and some variants.
_SHOWN_OF_ONE = 4

_RUN = "drawings"


class _Drawing(NamedTuple):
    """The content of a file, its name, and what it is."""

    name: str
    content: bytes
    what: str


def check(config: TrainingConfig) -> None:
    """Raises UserError where plots could not be written, or would be in the way of others."""
    folder = config.output.plots_dir
    if folder is None:
        return
    others = {
        "image_dir": config.image_dir,
        "validation_dir": config.split.validation_dir,
        "test_dir": config.split.test_dir,
        "saved_model_dir": config.output.saved_model_dir,
        "coreml_file": config.output.coreml_file,
    }
    for flag, other in others.items():
        if other in (folder, *folder.parents):
            raise UserError(
                f"--plots_dir={folder} lies in --{flag}={other}, where plots would be taken for "
                "what they are not; name a folder elsewhere"
            )
    check_folder_writable(folder, "plots_dir")


def write(
    config: TrainingConfig,
    backbone: Backbone,
    trained: Mapping[str, Trained],
    fine_tuned: FineTuned | None = None,
) -> list[Written]:
    """Draws a run, as PNG files where the config names a folder for them, and for TensorBoard.

    Without such a folder, TensorBoard gets the training images alone: it draws curves by itself,
    and what draws them here takes long to load.

    Args:
        config: of the run.
        backbone: the network that the images are for.
        trained: by the name of the engine that the features are of; the graph's head last.
        fine_tuned: what came out where the network learned, too.

    Returns:
        The files.

    Raises:
        UserError: something cannot be written.
    """
    folder = config.output.plots_dir
    *_, best = trained.values()
    written = []
    for engine, it in trained.items():
        drawings: list[_Drawing] = []
        if it is best and (folder or it.summaries):
            # TensorBoard's library takes a tenth of a second to write a PNG file of photos.
            kind = "PNG" if folder else "JPEG"
            drawings += _images(_variations(config), backbone, it, kind)
        if folder and it is best and fine_tuned:
            drawings.append(_fine_tuning(fine_tuned))
        if folder:
            drawings += _numbers(config, it)
        if it.summaries and drawings:
            summaries.add_drawings(
                it.summaries / _RUN, {drawing.name: drawing.content for drawing in drawings}
            )
        if folder:
            written += _files(folder, "" if it is best else f"_{engine}", drawings)
    return written


def _files(folder: Path, end: str, drawings: Sequence[_Drawing]) -> list[Written]:
    written = [Written(folder / f"{name}{end}.png", what) for name, _, what in drawings]
    for file, drawing in zip(written, drawings, strict=True):
        write_file(file.path, drawing.content)
    return written


def _numbers(config: TrainingConfig, trained: Trained) -> list[_Drawing]:
    drawings = []
    if trained.history:
        before = ", before calibration" if config.head.calibrate else ""
        png = _curves(trained.history, f"cross entropy{before}")
        drawings.append(_Drawing("curves", png, "how the training went"))
    if trained.test.count:
        png = _confusion(trained.test, trained.features.dataset.labels)
        drawings.append(_Drawing("confusion", png, "what is taken for what in the final test"))
    return drawings


def _fine_tuning(fine_tuned: FineTuned) -> _Drawing:
    what = "how the network itself learned" + ("" if fine_tuned.kept else ", which was left out")
    return _Drawing("fine_tuning", _curves(fine_tuned.history, "cross entropy", "epoch"), what)


def _curves(history: TrainingHistory, cross_entropy: str, unit: str = "step") -> bytes:
    by_strength = history.chosen is not None
    names = ("learned from" if by_strength else "train", history.name)
    series = {
        name: measures
        for name, measures in zip(names, (history.learned, history.others), strict=True)
        if measures
    }
    panels = {
        "accuracy": {name: measures.accuracy for name, measures in series.items()},
        cross_entropy: {name: measures.cross_entropy for name, measures in series.items()},
    }
    label = "strength C; to the left, simpler heads" if by_strength else unit
    return plots.curves(panels, history.at, label, history.chosen, logarithmic=by_strength)


def _confusion(test: Evaluation, labels: Sequence[str]) -> bytes:
    assert test.accuracy is not None
    title = f"Final test: {100 * test.accuracy:.1f}% of {test.count} images right"
    return plots.confusion(np.array(test.confusion), labels, title)


def _variations(config: TrainingConfig) -> DistortionOptions:
    """Returns how the images were varied; where the network learned, anew in every epoch."""
    if not config.fine_tuning.epochs:
        return config.distortions
    return dataclasses.replace(config.fine_tuning_distortions, per_image=0)


def _images(
    options: DistortionOptions, backbone: Backbone, trained: Trained, kind: str
) -> Iterator[_Drawing]:
    """Yields one drawing, or none where no image can be read any more."""
    part = trained.features.part(TRAINING)
    size = (backbone.height, backbone.width)
    numbers = [1] if options.fresh else list(range(min(options.cached + 1, _SHOWN_OF_ONE)))
    rows = plots.some_of_each(part.class_ids, _SHOWN // len(numbers))

    def seen(image: ImageFile) -> list[np.ndarray]:
        try:
            data = image.path.read_bytes()
            digest = hashlib.sha256(data).digest()
            return list(distortions.variants(data, digest, numbers, *size, options))
        except (OSError, UnreadableImageError):
            return []

    images = [part.images[row] for row in rows]
    found = list(parallel_map(seen, images, processors()))
    labels = [
        trained.features.dataset.labels[image.class_id]
        for image, variants in zip(images, found, strict=True)
        for _ in variants
    ]
    if not labels:
        return
    title = (
        f"{len(labels) // len(numbers)} of the {len(part.images)} training images, "
        f"{size[0]} x {size[1]}{_variation(options, len(numbers))}"
    )
    columns = plots.COLUMNS // len(numbers) * len(numbers)
    cells = [variant for variants in found for variant in variants]
    content = plots.grid(cells, labels, title, columns, kind)
    yield _Drawing("pictures", content, "training images as the network sees them")


def _variation(options: DistortionOptions, shown: int) -> str:
    if options.fresh:
        return ", distorted as in a step"
    return f", each with {shown - 1} of its {options.cached} variants" if options.cached else ""
