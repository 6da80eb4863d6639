"""The plots of a training, as files and for TensorBoard."""

from pathlib import Path

import numpy as np

from retrain.report import plots
from retrain.system.files import write_file
from retrain.training import summaries
from tools.keras_training.checkpoint import Progress
from tools.keras_training.examples import Data, Examples
from tools.keras_training.options import Options

CURVES_FILE, IMAGES_FILE = "curves.png", "pictures.png"


def draw_images(data: Data, options: Options, logs: Path) -> Path:
    """Draws some training images as the network sees them in the first epoch; returns the file.

    Args:
        data: whose images.
        options: of the training.
        logs: folder for TensorBoard.
    """
    seen = _varied(data.shown, options) if options.augmentation.any else data.shown.inputs
    labels = [data.labels[class_id] for class_id in data.shown.class_ids]
    height, width = seen.shape[1:3]
    title = f"{len(seen)} of the {len(data.train.class_ids)} training images, {height} x {width}"
    return _write(options.output_dir / IMAGES_FILE, plots.grid(seen, labels, title), logs)


def _varied(shown: Examples, options: Options) -> np.ndarray:
    from tools.keras_training.augmentation import augment

    return np.asarray(augment(shown.inputs, [0, options.seed], options.augmentation))


def draw_curves(progress: Progress, options: Options, logs: Path) -> Path:
    """Draws loss and accuracy of all epochs; returns the file."""
    history = progress.history
    panels = {
        measure: {
            "train": [epoch[measure] for epoch in history],
            "validation": [epoch[f"val_{measure}"] for epoch in history],
        }
        for measure in ("loss", "accuracy")
    }
    steps = range(1, len(history) + 1)
    png = plots.curves(panels, steps, marked=progress.best_epoch + 1)
    return _write(options.output_dir / CURVES_FILE, png, logs, step=len(history))


def _write(path: Path, png: bytes, logs: Path, step: int = 0) -> Path:
    write_file(path, png)
    summaries.add_drawings(logs / "drawings", {path.stem: png}, step)
    return path
