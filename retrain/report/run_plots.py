"""Draws the plots of a run: training curves, training images and the confusion matrix."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.config import TrainingConfig
from retrain.data import distortions, image_reader
from retrain.data.dataset import ImageFile
from retrain.data.pixels import UnreadableImageError
from retrain.data.splits import TRAINING
from retrain.errors import UserError
from retrain.export.formats import WrittenFile
from retrain.fine_tuning.result import FineTuningResult
from retrain.report import image_grid, plots
from retrain.report.finished_training import FinishedTraining
from retrain.system.outputs.checks import check_folder_writable, check_writable
from retrain.system.outputs.staging import Staging
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map
from retrain.training import summaries
from retrain.training.evaluation import Evaluation
from retrain.training.history import TrainingHistory
from retrain.training.results import HeadResult
from retrain.training_options import DistortionOptions

_MAX_CELLS = 24
# Cells of one image in the grid, if training uses distorted variants: the image and some of them.
_CELLS_PER_IMAGE = 4

# Name of the TensorBoard run that shows the plots.
_TENSORBOARD_RUN = "drawings"

# Beginnings of the names of all plots.
_NAMES = ("pictures", "curves", "confusion", "fine_tuning")


class _Plot(NamedTuple):
    """The content of a plot, and the name of its file without the suffix."""

    name: str
    content: bytes
    description: str


def check(config: TrainingConfig) -> None:
    """Raises UserError if plots could not be written, or would be mistaken for images."""
    folder = config.output.plots_dir
    if folder is None:
        return
    folders_of_other_files = {
        "image_dir": config.image_dir,
        "validation_dir": config.split.validation_dir,
        "test_dir": config.split.test_dir,
        "saved_model_dir": config.output.saved_model_dir,
        "coreml_file": config.output.coreml_file,
    }
    for flag, other in folders_of_other_files.items():
        if other in (folder, *folder.parents):
            raise UserError(
                f"--plots_dir={folder} is inside --{flag}={other}, where plots would be mistaken "
                "for other files; choose a folder outside it"
            )
    check_folder_writable(folder, "plots_dir")
    for path in sorted(folder.glob("*.png")):
        if path.name.startswith(_NAMES):
            check_writable(path, "plots_dir")


def stage_plots(staging: Staging, training: FinishedTraining) -> list[WrittenFile]:
    """Draws a run as PNG files, if the config names a folder for them, and for TensorBoard.

    Without such a folder, TensorBoard gets the training images only: it draws curves itself, and
    importing matplotlib takes long.

    Args:
        staging: Puts the PNG files in place when the run succeeds.
        training: The finished training.

    Raises:
        UserError: If a file cannot be written.
    """
    config, results, fine_tuning = training.config, training.results, training.fine_tuning
    folder = config.output.plots_dir
    written = []
    for result in results.all():
        is_primary = result is results.primary
        run_plots: list[_Plot] = []
        if is_primary and (folder or result.summaries):
            # Encoding as PNG takes a tenth of a second longer, which TensorBoard does not need.
            file_format = "PNG" if folder else "JPEG"
            run_plots += _plot_images(config, training.backbone, result, file_format)
        if folder and is_primary and fine_tuning:
            run_plots.append(_plot_fine_tuning(fine_tuning))
        if folder:
            run_plots += _plot_metrics(config, result)
        if result.summaries and run_plots:
            summaries.add_plots(
                result.summaries / _TENSORBOARD_RUN,
                {plot.name: plot.content for plot in run_plots},
            )
        if folder:
            suffix = "" if is_primary else f"_{result.features.engine}"
            for plot in run_plots:
                path = folder / f"{plot.name}{suffix}.png"
                staging.file(path).write_bytes(plot.content)
                written.append(WrittenFile(path, plot.description))
    return written


def _plot_metrics(config: TrainingConfig, result: HeadResult) -> list[_Plot]:
    run_plots = []
    if result.history:
        uncalibrated = ", before calibration" if config.head.calibrate else ""
        png = _plot_history(result.history, f"cross entropy{uncalibrated}")
        run_plots.append(_Plot("curves", png, "training curves"))
    if result.test.count:
        png = _plot_confusion(result.test, result.features.dataset.labels)
        run_plots.append(_Plot("confusion", png, "confusion matrix of the final test"))
    return run_plots


def _plot_fine_tuning(result: FineTuningResult) -> _Plot:
    png = _plot_history(result.history, "cross entropy", unit="epoch")
    discarded = "" if result.kept else ", which was discarded"
    return _Plot("fine_tuning", png, f"training curves of fine-tuning{discarded}")


def _plot_history(history: TrainingHistory, loss_name: str, *, unit: str = "step") -> bytes:
    by_strength = history.selected is not None
    series = {"train": history.train}
    if history.validation:
        series[history.validation_name] = history.validation
    panels = {
        "accuracy": {name: metrics.accuracy for name, metrics in series.items()},
        loss_name: {name: metrics.cross_entropy for name, metrics in series.items()},
    }
    return plots.draw_curves(
        panels,
        history.at,
        x_label="inverse regularisation strength C" if by_strength else unit,
        selected=history.selected,
        logarithmic=by_strength,
    )


def _plot_confusion(test: Evaluation, labels: Sequence[str]) -> bytes:
    assert test.accuracy is not None
    title = f"Test accuracy: {100 * test.accuracy:.1f}% of {test.count} images"
    return plots.draw_confusion_matrix(np.array(test.confusion), labels, title=title)


def _shown_distortions(config: TrainingConfig) -> DistortionOptions:
    """Returns the distortions of the training images. Fine-tuning makes new ones in each epoch."""
    if not config.fine_tuning.epochs:
        return config.distortions
    return dataclasses.replace(config.fine_tuning_distortions, per_image=0)


def _plot_images(
    config: TrainingConfig, backbone: Backbone, result: HeadResult, file_format: str
) -> Iterator[_Plot]:
    """Yields the grid of training images, or nothing if no image can be read any more."""
    options = _shown_distortions(config)
    training = result.features.split(TRAINING)
    height, width = backbone.height, backbone.width
    numbers = [1] if options.fresh else list(range(min(options.cached + 1, _CELLS_PER_IMAGE)))
    rows = image_grid.sample_per_class(training.class_ids, _MAX_CELLS // len(numbers))

    def decode(image: ImageFile) -> list[np.ndarray]:
        try:
            data = image_reader.read(image.path)
            digest = hashlib.sha256(data).digest()
            return list(
                distortions.decode_variants(
                    data,
                    numbers,
                    options,
                    digest=digest,
                    height=height,
                    width=width,
                    fit=backbone.fit,
                )
            )
        except (OSError, UnreadableImageError):
            return []

    images = [training.images[row] for row in rows]
    variants = list(parallel_map(decode, images, processor_count()))
    labels = [
        result.features.dataset.labels[image.class_id]
        for image, cells in zip(images, variants, strict=True)
        for _ in cells
    ]
    if not labels:
        return
    title = (
        f"{len(labels) // len(numbers)} of the {len(training.images)} training images, "
        f"{height} x {width}{_describe_variants(options, len(numbers))}"
    )
    content = image_grid.draw_grid(
        [cell for cells in variants for cell in cells],
        labels,
        all_labels=result.features.dataset.labels,
        title=title,
        columns=image_grid.COLUMNS // len(numbers) * len(numbers),
        file_format=file_format,
    )
    yield _Plot("pictures", content, "training images as the network sees them")


def _describe_variants(options: DistortionOptions, cells_per_image: int) -> str:
    if options.fresh:
        return ", distorted as in one training step"
    if options.cached:
        return f", each with {cells_per_image - 1} of its {options.cached} variants"
    return ""
