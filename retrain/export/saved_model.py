"""A classifier as a SavedModel: a folder that TensorFlow Serving and `tf.saved_model.load` take."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from retrain.export import network
from retrain.export.answers import Answers, UndecodedError
from retrain.export.assemble import Classifier
from retrain.system.console import quiet_libraries, quiet_native_libraries

LABELS_FILE = "labels.txt"
METADATA_FILE = "retrain_metadata.json"

# TensorFlow Serving's REST interface takes `{"b64": ...}` for inputs whose names end in `_bytes`.
PIXELS, FILES, OUTPUT = "image", "image_bytes", "probabilities"

# What is in such a folder, so that nobody's other files are replaced with it.
CONTENTS = frozenset(("assets", "fingerprint.pb", "saved_model.pb", "variables"))


def write(folder: Path, classifier: Classifier) -> None:
    """Writes the classifier.

    It has the signatures `serving_default`, from `image`, uint8 [N, height, width, 3], RGB pixels
    as they are, and `serve_bytes`, from `image_bytes`, string [N], files of JPEG, PNG, BMP or GIF.
    Both give `probabilities`, float32 [N, classes]. `assets` has the labels, one a line, and the
    metadata.

    Pixels are uint8 because they have one meaning then: float32 ones could be 0 to 1 as well.

    Args:
        folder: that exists and is empty.
        classifier: what was trained.
    """
    metadata = classifier.metadata
    with quiet_libraries(), tempfile.TemporaryDirectory() as assets:
        import tensorflow as tf

        module = _module(classifier)
        labels, text = Path(assets, LABELS_FILE), Path(assets, METADATA_FILE)
        labels.write_text("".join(f"{label}\n" for label in metadata.labels), "utf-8")
        text.write_text(metadata.to_json(), "utf-8")
        module.assets = [tf.saved_model.Asset(str(labels)), tf.saved_model.Asset(str(text))]
        signatures = {"serving_default": module.from_pixels, "serve_bytes": module.from_files}
        tf.saved_model.save(module, str(folder), signatures)


def load(folder: Path) -> Answers:
    """Returns the classifier in a folder that `write` wrote."""
    with quiet_libraries():
        import tensorflow as tf

        loaded = tf.saved_model.load(str(folder))
    from_pixels = loaded.signatures["serving_default"]
    from_files = loaded.signatures["serve_bytes"]

    def decode(data: bytes) -> np.ndarray:
        try:
            with quiet_native_libraries():
                return from_files(**{FILES: tf.constant([data])})[OUTPUT].numpy()[0]
        except tf.errors.OpError as error:
            raise UndecodedError(str(error.message).partition("\n")[0]) from error

    return Answers(
        lambda pixels: from_pixels(**{PIXELS: tf.constant(pixels)})[OUTPUT].numpy(), decode
    )


def _module(classifier: Classifier) -> Any:
    import tensorflow as tf

    metadata = classifier.metadata
    functions = network.functions(classifier)
    mean, std = tf.constant(metadata.mean, tf.float32), tf.constant(metadata.std, tf.float32)
    size = (metadata.height, metadata.width, 3)

    def from_pixels(image: Any) -> dict[str, Any]:
        channels = image[..., ::-1] if metadata.channel_order == "BGR" else image
        return {OUTPUT: functions.from_pixels((tf.cast(channels, tf.float32) - mean) / std)}

    def from_files(image_bytes: Any) -> dict[str, Any]:
        pixels = tf.map_fn(
            lambda data: functions.from_file(data)[0],
            image_bytes,
            fn_output_signature=tf.TensorSpec(size, tf.float32),
        )
        return {OUTPUT: functions.from_pixels(pixels)}

    module = tf.Module()
    # Only what belongs to the module is saved with it.
    module.functions = functions
    module.from_pixels = tf.function(
        from_pixels, [tf.TensorSpec((None, *size), tf.uint8, PIXELS)], autograph=False
    )
    module.from_files = tf.function(
        from_files, [tf.TensorSpec([None], tf.string, FILES)], autograph=False
    )
    return module
