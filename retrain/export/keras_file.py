"""Writes a classifier as a Keras file, which `keras.models.load_model` loads."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from retrain.errors import UserError
from retrain.export import archive
from retrain.export.assemble import TrainedClassifier
from retrain.metadata import OUTPUT, PIXELS_INPUT
from retrain.runtimes import keras_model
from retrain.runtimes.runtime import Runtime
from retrain.system.outputs.temporary_folders import temporary_folder
from retrain.system.program.console import quiet_libraries

# The file in the archive that contains the date of saving, and the key of that date.
_DATED_FILE, _DATE_KEY = "metadata.json", "date_saved"


def check(path: Path, backbone: str, *, has_keras_network: bool) -> None:
    """Raises UserError if the file cannot be written.

    Args:
        path: Path of the file.
        backbone: Name of the backbone.
        has_keras_network: Whether the backbone is available as a Keras model.
    """
    if path.suffix != keras_model.SUFFIX:
        raise UserError(
            f"--keras_file={path} must end in {keras_model.SUFFIX}, the only Keras format that is "
            "supported"
        )
    if not has_keras_network:
        raise UserError(
            f"--keras_file={path} cannot be written: {backbone} is not made of Keras layers; "
            "choose another network or another format, such as --saved_model_dir"
        )


def write(path: Path, classifier: TrainedClassifier) -> None:
    """Writes the classifier as a model of standard Keras layers.

    The model takes `image`, float32 [N, height, width, 3], RGB, 0 to 255, and returns
    `probabilities`, float32 [N, classes]. The file, a ZIP archive, also contains the labels, one
    per line, and the metadata.
    """
    with temporary_folder() as folder:
        saved = folder / f"model{keras_model.SUFFIX}"
        with quiet_libraries():
            _build_model(classifier).save(saved)
        with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
            for name in source.namelist():
                archive.add_file(target, name, _without_date(name, source.read(name)))
            archive.add_description(target, classifier.metadata)


def load(path: Path) -> Runtime:
    """Loads the classifier in a file that `write` wrote."""
    return keras_model.load(path, path.read_bytes())


def _build_model(classifier: TrainedClassifier) -> Any:
    from tensorflow import keras

    metadata, head = classifier.metadata, classifier.head
    network = keras.models.load_model(classifier.backbone.keras_file, compile=False)
    pixels = keras.Input((metadata.height, metadata.width, 3), name=PIXELS_INPUT)
    channels = keras.ops.flip(pixels, axis=-1) if metadata.channel_order == "BGR" else pixels
    normalise = keras.layers.Normalization(
        mean=metadata.mean, variance=np.square(metadata.std).tolist(), name="normalise"
    )
    softmax = keras.layers.Dense(len(head.bias), activation="softmax", name=OUTPUT)
    model = keras.Model(pixels, softmax(network(normalise(channels))), name="classifier")
    softmax.set_weights([head.weights, head.bias])
    return model


def _without_date(name: str, content: bytes) -> bytes:
    """Removes the date of saving, so that equal classifiers give identical files."""
    if name != _DATED_FILE:
        return content
    fields = json.loads(content)
    del fields[_DATE_KEY]
    return json.dumps(fields).encode()
