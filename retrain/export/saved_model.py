"""Writes a classifier as a SavedModel, for TensorFlow Serving and `tf.saved_model.load`."""

from pathlib import Path
from typing import Any

from retrain.export import tensorflow_functions
from retrain.export.assemble import TrainedClassifier
from retrain.metadata import (
    FAMILIARITY_OUTPUT,
    FILES_FAMILIARITY_SIGNATURE,
    FILES_INPUT,
    FILES_SIGNATURE,
    LABELS_FILE,
    METADATA_FILE,
    OUTPUT,
    PIXELS_FAMILIARITY_SIGNATURE,
    PIXELS_INPUT,
    PIXELS_SIGNATURE,
    labels_text,
)
from retrain.runtimes import saved_model_folder
from retrain.runtimes.runtime import Runtime
from retrain.system.outputs.checks import check_output_folder, check_utf8
from retrain.system.outputs.temporary_folders import temporary_folder
from retrain.system.program.console import quiet_libraries

# A folder with anything else in it is not replaced.
_CONTENTS = frozenset(("assets", "fingerprint.pb", "saved_model.pb", "variables"))


def check(path: Path) -> None:
    """Raises UserError if a SavedModel cannot be written to the folder `--saved_model_dir`."""
    check_output_folder(path, "saved_model_dir", _CONTENTS)
    check_utf8(path, "saved_model_dir")


def write(folder: Path, classifier: TrainedClassifier) -> None:
    """Writes the classifier with two or four signatures.

    `serving_default` classifies pixels: `image`, uint8 [N, height, width, 3], RGB. `serve_bytes`
    classifies files: `image_bytes`, string [N], JPEG, PNG, BMP or GIF. Both return
    `probabilities`, float32 [N, classes]. If the classifier has a familiarity, the signatures
    `familiarity` and `familiarity_bytes` take the same and also return `familiarity`, float32 [N].
    The assets are the labels, one per line, and the metadata.

    Pixels are uint8 because the range of float32 pixels would be ambiguous: 0 to 255 or 0 to 1.

    Args:
        folder: An existing, empty folder.
        classifier: Classifier to write.
    """
    with temporary_folder() as assets, quiet_libraries():
        import tensorflow as tf

        module, signatures = _build_module(classifier)
        metadata = classifier.metadata
        labels, description = assets / LABELS_FILE, assets / METADATA_FILE
        labels.write_text(labels_text(metadata.labels), "utf-8")
        description.write_text(metadata.to_json(), "utf-8")
        module.assets = [tf.saved_model.Asset(str(path)) for path in (labels, description)]
        tf.saved_model.save(module, str(folder), signatures)


def load_all(folder: Path) -> list[Runtime]:
    """Loads the classifier in a folder that `write` wrote, in all ways that programs run it."""
    return saved_model_folder.load_all(folder, trust_model=True)


def _build_module(classifier: TrainedClassifier) -> tuple[Any, dict[str, Any]]:
    """Returns the module to save, and its signatures."""
    import tensorflow as tf

    metadata = classifier.metadata
    functions = tensorflow_functions.build(classifier)
    mean, std = tf.constant(metadata.mean, tf.float32), tf.constant(metadata.std, tf.float32)
    size = (metadata.height, metadata.width, 3)

    def normalise(image: Any) -> Any:
        channels = image[..., ::-1] if metadata.channel_order == "BGR" else image
        return (tf.cast(channels, tf.float32) - mean) / std

    def decode_files(image_bytes: Any) -> Any:
        return tf.map_fn(
            lambda data: functions.decode(data)[0],
            image_bytes,
            fn_output_signature=tf.TensorSpec(size, tf.float32),
        )

    def classify(normalised: Any) -> dict[str, Any]:
        return {OUTPUT: functions.classify(normalised)}

    def classify_and_compare(normalised: Any) -> dict[str, Any]:
        probabilities, familiarity = functions.classify_and_compare(normalised)
        return {OUTPUT: probabilities, FAMILIARITY_OUTPUT: familiarity}

    pixels_input = tf.TensorSpec((None, *size), tf.uint8, PIXELS_INPUT)
    files_input = tf.TensorSpec([None], tf.string, FILES_INPUT)

    def compose(prepare: Any, compute: Any, spec: Any) -> Any:
        return tf.function(lambda value: compute(prepare(value)), [spec], autograph=False)

    module = tf.Module()
    # TensorFlow saves only what is an attribute of the module.
    module.functions = functions
    signatures = {
        PIXELS_SIGNATURE: compose(normalise, classify, pixels_input),
        FILES_SIGNATURE: compose(decode_files, classify, files_input),
    }
    if functions.classify_and_compare:
        signatures |= {
            PIXELS_FAMILIARITY_SIGNATURE: compose(normalise, classify_and_compare, pixels_input),
            FILES_FAMILIARITY_SIGNATURE: compose(decode_files, classify_and_compare, files_input),
        }
    return module, signatures
