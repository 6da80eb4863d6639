"""Plots sample images and training curves, as files and for TensorBoard."""

from pathlib import Path

import numpy as np

from retrain.report import image_grid, plots
from retrain.system.outputs.atomic_files import write_file
from retrain.training import summaries
from tools.keras_training.augmentation import augment
from tools.keras_training.examples import TrainingData
from tools.keras_training.options import Options
from tools.keras_training.training_state import TrainingState

CURVES_FILE, IMAGES_FILE = "curves.png", "pictures.png"

# Name of the run in TensorBoard.
_RUN = "drawings"


def plot_images(data: TrainingData, options: Options, logs: Path) -> Path:
    """Plots some training images as the network sees them in the first epoch.

    Args:
        data: The images.
        options: Options of the training.
        logs: Log folder for TensorBoard.

    Returns:
        The file that was written.
    """
    images = data.preview.inputs
    if options.augmentation.is_enabled:
        images = np.asarray(augment(images, [0, options.seed], options.augmentation))
    labels = [data.labels[class_id] for class_id in data.preview.class_ids]
    height, width = images.shape[1:3]
    count = len(data.train.class_ids)
    title = f"{len(images)} of the {count} training images, {height} x {width}"
    grid = image_grid.draw_grid(images, labels, all_labels=data.labels, title=title)
    return _write(options.output_dir / IMAGES_FILE, grid, logs)


def plot_history(state: TrainingState, options: Options, logs: Path) -> Path:
    """Plots loss and accuracy of all epochs.

    Args:
        state: Finished epochs, at least one.
        options: Options of the training.
        logs: Log folder for TensorBoard.

    Returns:
        The file that was written.
    """
    panels = {
        metric: {
            "train": [epoch[metric] for epoch in state.history],
            "validation": [epoch[f"val_{metric}"] for epoch in state.history],
        }
        for metric in ("loss", "accuracy")
    }
    png = plots.draw_curves(panels, range(1, state.epochs + 1), selected=state.best_epoch + 1)
    return _write(options.output_dir / CURVES_FILE, png, logs, step=state.epochs)


def _write(path: Path, png: bytes, logs: Path, *, step: int = 0) -> Path:
    write_file(path, png)
    summaries.add_plots(logs / _RUN, {path.stem: png}, step=step)
    return path
