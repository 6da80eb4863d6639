"""Writes a Keras model as a `.keras` file with labels and metadata."""

import dataclasses
import json
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from retrain.data import pixels
from retrain.export.assemble import current_versions
from retrain.metadata import LABELS_FILE, METADATA_FILE, OUTPUT, Metadata, labels_text
from tools.keras_training.options import Options
from tools.keras_training.tasks import Task

# The result depends on the contents of files and folders, not on their paths.
# `Metadata.fit` states how images are resized.
_EXCLUDED = ("train_dir", "val_dir", "output_dir", "weights", "bottleneck_dir", "resume", "fit")


def write(path: Path, task: Task, metadata: Metadata) -> None:
    """Writes the classifier with its current weights, in the same form as `--keras_file`.

    `keras.models.load_model` reads the file. It has no optimizer state.

    Args:
        path: File to write.
        task: The training.
        metadata: Metadata to add to the file.
    """
    task.classifier.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(LABELS_FILE, labels_text(metadata.labels))
        archive.writestr(METADATA_FILE, metadata.to_json())


def describe(task: Task, options: Options) -> Metadata:
    """Returns the metadata of the classifier."""
    backbone = task.backbone
    return Metadata(
        labels=task.data.labels,
        folders=task.data.folders,
        height=task.image_shape.height,
        width=task.image_shape.width,
        mean=backbone.mean if backbone else (0.0, 0.0, 0.0),
        std=backbone.std if backbone else (255.0, 255.0, 255.0),
        channel_order=backbone.channel_order if backbone else "RGB",
        resize_method=pixels.RESIZE_METHOD,
        output=OUTPUT,
        backbone=options.architecture,
        fingerprint=backbone.fingerprint if backbone else "",
        split={
            "training": len(task.data.train.class_ids),
            "validation": len(task.data.validation.class_ids),
        },
        test_accuracy=None,
        training=training_options(options),
        versions={**current_versions(), "keras": version("keras")},
        fit=options.fit,
    )


def training_options(options: Options) -> dict[str, Any]:
    """Returns the options that determine the result of a training, as JSON values."""
    fields = {
        name: value for name, value in dataclasses.asdict(options).items() if name not in _EXCLUDED
    }
    return dict(json.loads(json.dumps(fields)))
