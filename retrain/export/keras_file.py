"""A classifier as a Keras file, which `keras.models.load_model` opens without this program."""

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from retrain.errors import UserError
from retrain.export.answers import Answers
from retrain.export.assemble import Classifier
from retrain.system.console import quiet_libraries

SUFFIX = ".keras"
LABELS_FILE = "labels.txt"
METADATA_FILE = "retrain_metadata.json"

# Keras's own description of the file, and what it says in it of the time.
_DESCRIPTION, _DATE = "metadata.json", "date_saved"

# The same classifier gives the same bytes at any time.
_TIME = (1980, 1, 1, 0, 0, 0)


def check(path: Path, architecture: str, has_network: bool) -> None:
    """Raises UserError where no such file could be written.

    Args:
        path: where to.
        architecture: name of the backbone.
        has_network: whether it has a network of Keras's layers.
    """
    if path.suffix != SUFFIX:
        raise UserError(
            f"--keras_file={path} must end in {SUFFIX}: no other of Keras's formats is written"
        )
    if not has_network:
        raise UserError(
            f"--keras_file={path} cannot be written with --architecture={architecture}, which is "
            "not made of Keras's layers; choose --saved_model_dir"
        )


def write(path: Path, classifier: Classifier) -> None:
    """Writes the classifier.

    The model takes `image`, float32 [N, height, width, 3], RGB pixels as they are, 0 to 255, and
    gives `probabilities`, float32 [N, classes]. Every layer is one of Keras's own. The file, a ZIP
    archive, has the labels, one a line, and the metadata beside what is Keras's.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder, f"model{SUFFIX}")
        with quiet_libraries():
            _model(classifier).save(saved)
        metadata = classifier.metadata
        labels = "".join(f"{label}\n" for label in metadata.labels)
        with zipfile.ZipFile(saved) as plain, zipfile.ZipFile(path, "w") as complete:
            for name in plain.namelist():
                complete.writestr(zipfile.ZipInfo(name, _TIME), _timeless(name, plain.read(name)))
            complete.writestr(zipfile.ZipInfo(LABELS_FILE, _TIME), labels)
            complete.writestr(zipfile.ZipInfo(METADATA_FILE, _TIME), metadata.to_json())


def load(path: Path) -> Answers:
    """Returns the classifier in a file that `write` wrote, as anybody with Keras would."""
    with quiet_libraries():
        import tensorflow as tf

        model = tf.keras.models.load_model(path, compile=False)
    shape = model.input_shape
    run = tf.function(lambda pixels: model(pixels, training=False), [tf.TensorSpec(shape)])
    return Answers(lambda pixels: run(tf.constant(pixels, tf.float32)).numpy())


def _model(classifier: Classifier) -> Any:
    # Through TensorFlow: after `graph_session`, Keras cannot be the first to import it.
    from tensorflow import keras

    metadata, head = classifier.metadata, classifier.head
    network = keras.models.load_model(classifier.backbone.keras_file, compile=False)
    pixels = keras.Input((metadata.height, metadata.width, 3), name="image")
    channels = keras.ops.flip(pixels, axis=-1) if metadata.channel_order == "BGR" else pixels
    normalise = keras.layers.Normalization(
        mean=metadata.mean, variance=np.square(metadata.std).tolist(), name="normalise"
    )
    softmax = keras.layers.Dense(len(head.bias), activation="softmax", name="probabilities")
    model = keras.Model(pixels, softmax(network(normalise(channels))), name="classifier")
    softmax.set_weights([head.weights, head.bias])
    return model


def _timeless(name: str, content: bytes) -> bytes:
    if name != _DESCRIPTION:
        return content
    description = json.loads(content)
    del description[_DATE]
    return json.dumps(description).encode()
