"""A Keras model as a `.keras` file that carries its labels and says what it is."""

import dataclasses
import json
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from retrain.data import pixels
from retrain.export.keras_file import LABELS_FILE, METADATA_FILE
from retrain.metadata import Metadata
from tools.keras_training.options import Options
from tools.keras_training.tasks import Task


def write(path: Path, task: Task, metadata: Metadata) -> None:
    """Writes the classifier as its weights are now, in the form that `retrain` gives such files.

    `keras.models.load_model` opens it. What is needed to train it on is not in it.
    """
    task.classifier.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(LABELS_FILE, "".join(f"{label}\n" for label in metadata.labels))
        archive.writestr(METADATA_FILE, metadata.to_json())


def describe(task: Task, options: Options) -> Metadata:
    """Returns what is to be said of the classifier."""
    backbone = task.backbone
    return Metadata(
        labels=task.data.labels,
        folders=task.data.folders,
        height=task.shape.height,
        width=task.shape.width,
        mean=backbone.mean if backbone else (0.0, 0.0, 0.0),
        std=backbone.std if backbone else (255.0, 255.0, 255.0),
        channel_order=backbone.channel_order if backbone else "RGB",
        resize_method=pixels.RESIZE_METHOD,
        output="probabilities",
        backbone=options.architecture,
        fingerprint=backbone.fingerprint if backbone else "",
        split={
            "training": len(task.data.train.class_ids),
            "validation": len(task.data.validation.class_ids),
        },
        test_accuracy=None,
        training=training(options),
        versions={
            "preprocessing": pixels.PREPROCESSING_VERSION,
            "keras": version("keras"),
        },
    )


def training(options: Options) -> dict[str, Any]:
    """Returns the options that decide what a training comes to, as JSON can say them."""
    places = ("train_dir", "val_dir", "output_dir", "weights", "bottleneck_dir", "resume")
    fields = {k: v for k, v in dataclasses.asdict(options).items() if k not in places}
    return dict(json.loads(json.dumps(fields)))
