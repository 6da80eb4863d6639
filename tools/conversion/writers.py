"""Writes a classifier in other formats, after checking that the files compute the same scores."""

import dataclasses
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from retrain.errors import UserError
from retrain.export import coreml, tflite, tflite_editor, tflite_input, tflite_metadata
from retrain.export.coreml_conversion import BGR, TensorFlowClassifier
from retrain.export.coreml_options import FLOAT16, ML_PROGRAM_SUFFIX
from retrain.export.coreml_reference.errors import UnsupportedOperationError
from retrain.metadata import (
    LABELS_FILE,
    METADATA_FILE,
    OUTPUT,
    PIXELS_INPUT,
    PIXELS_SIGNATURE,
    labels_text,
)
from retrain.output_options import CoreMLOptions
from retrain.runtimes.litert import LiteRTModel
from retrain.runtimes.runtime import ModelError
from retrain.system.files.write_errors import disk_error
from retrain.system.outputs.staging import Staging
from retrain.system.outputs.temporary_folders import temporary_folder
from retrain.system.program.console import quiet_native_libraries
from tools.conversion.converted_classifier import ConvertedClassifier
from tools.conversion.outputs import ConversionOutputs

# Largest difference relative to the largest score, for files with full and reduced precision.
_EXACT_TOLERANCE = 1e-3
_ROUNDED_TOLERANCE = 5e-2

_UNSUPPORTED_OPERATION = re.compile(r"tf\.([A-Z]\w*)")


class ScoreMismatchError(Exception):
    """A file computes different scores. It is a defect of this program or of a converter."""


def write_all(outputs: ConversionOutputs, classifier: ConvertedClassifier) -> list[str]:
    """Writes all files, puts them in place together, and returns a message for each.

    Raises:
        UserError: If a file cannot be written, or its format does not support the network.
        ScoreMismatchError: If a file would compute different scores.
    """
    messages = []
    with Staging(outputs.paths()) as staging:
        if path := outputs.keras_file:
            messages.append(write_keras(staging, path, classifier))
        if path := outputs.saved_model_dir:
            messages.append(write_saved_model(staging, path, classifier))
        if path := outputs.tflite_file:
            quantization = outputs.tflite_quantization
            messages.append(write_tflite(staging, path, classifier, quantization))
        if path := outputs.coreml_file:
            messages.append(write_coreml(staging, path, classifier, outputs.coreml))
    return messages


def write_coreml(
    staging: Staging, path: Path, classifier: ConvertedClassifier, options: CoreMLOptions
) -> str:
    """Writes a Core ML file, and returns a message for when it is in place.

    Raises:
        UserError: If the file cannot be written, or Core ML does not support an operation.
        ScoreMismatchError: If the file would compute different scores.
    """
    source = TensorFlowClassifier(
        scores=classifier.scores,
        labels=classifier.labels,
        height=classifier.source.height,
        width=classifier.source.width,
        channel_order=classifier.input_format.channel_order,
        mean=classifier.input_format.mean,
        std=classifier.input_format.std,
    )
    tolerance = _ROUNDED_TOLERANCE if options.precision == FLOAT16 else _EXACT_TOLERANCE
    is_folder = path.suffix == ML_PROGRAM_SUFFIX
    temporary = staging.folder(path) if is_folder else staging.file(path)
    coreml.write_from_tensorflow(temporary, source, options, classifier.metadata())
    try:
        run = coreml.load(temporary).run
    except UnsupportedOperationError as error:
        logging.warning("%s is written without checking its scores: %s.", path, error)
        return f"Wrote {path}."
    return _check_scores(path, run(classifier.test_images), classifier, tolerance)


def write_tflite(
    staging: Staging, path: Path, classifier: ConvertedClassifier, quantization: str
) -> str:
    """Writes a TFLite file whose input is an image, uint8. Returns a message as `write_coreml`.

    Raises:
        UserError: If the file cannot be written, or TFLite does not support an operation.
        ScoreMismatchError: If the file would compute different scores.
    """
    temporary = staging.file(path)
    temporary.write_bytes(_to_tflite(classifier, quantization))
    try:
        model = LiteRTModel(temporary.read_bytes())
    except ModelError as error:
        raise UserError(
            f"LiteRT cannot run the network: {error}; leave --tflite_file out, or use another "
            "network"
        ) from error
    images = classifier.as_input(classifier.test_images)
    scores = np.concatenate([model.run(image[np.newaxis]) for image in images])
    tolerance = _EXACT_TOLERANCE if quantization == tflite.NONE else _ROUNDED_TOLERANCE
    return _check_scores(path, scores, classifier, tolerance)


def write_saved_model(staging: Staging, path: Path, classifier: ConvertedClassifier) -> str:
    """Writes a SavedModel whose input is images, uint8. Returns a message as `write_coreml`.

    Raises:
        UserError: If the folder cannot be written.
        ScoreMismatchError: If the SavedModel would compute different scores.
    """
    import tensorflow as tf

    temporary = staging.folder(path)
    with temporary_folder() as assets:
        module = _module(classifier, classifier.scores_of_images, dtype="uint8", batch_size=None)
        contents = {LABELS_FILE: labels_text(classifier.labels)}
        metadata = classifier.metadata()
        if metadata:
            contents[METADATA_FILE] = metadata.to_json()
        for name, text in contents.items():
            (assets / name).write_text(text, "utf-8")
        module.assets = [tf.saved_model.Asset(str(assets / name)) for name in contents]
        with quiet_native_libraries():
            tf.saved_model.save(module, str(temporary), {PIXELS_SIGNATURE: module.function})
            run = tf.saved_model.load(str(temporary)).signatures[PIXELS_SIGNATURE]
        images = tf.constant(classifier.as_input(classifier.test_images))
        scores = run(**{PIXELS_INPUT: images})[OUTPUT].numpy()
        return _check_scores(path, scores, classifier, _EXACT_TOLERANCE)


def write_keras(staging: Staging, path: Path, classifier: ConvertedClassifier) -> str:
    """Writes a Keras file of the unchanged model. Returns a message as `write_coreml`.

    Raises:
        UserError: If the file cannot be written, or if the source is not a Keras model.
    """
    if classifier.source.keras_model is None:
        raise UserError(
            f"--keras_file={path} cannot be written, because a graph has operations but no layers; "
            "use --saved_model_dir, or let //retrain write a Keras file"
        )
    classifier.source.keras_model.save(staging.file(path))
    return f"Wrote {path} in the current Keras format."


def _check_scores(
    path: Path, scores: np.ndarray, classifier: ConvertedClassifier, tolerance: float
) -> str:
    """Compares the scores of a file for the test images with the expected ones."""
    expected = classifier.expected_scores
    difference = float(np.abs(scores - expected).max())
    if not difference <= tolerance * max(1.0, float(np.abs(expected).max())):
        raise ScoreMismatchError(f"the scores of {path} would differ by {difference:.2g}")
    return (
        f"Wrote {path}. Its scores for {len(expected)} generated images differ by at most "
        f"{difference:.1e} from those of the original."
    )


def _to_tflite(classifier: ConvertedClassifier, quantization: str) -> bytes:
    metadata, input_format = classifier.metadata(), classifier.input_format
    if metadata is None:
        module = _module(classifier, classifier.scores_of_images, dtype="uint8", batch_size=1)
        return _convert_to_tflite(module, quantization)
    module = _module(classifier, classifier.scores, dtype="float32", batch_size=1)
    model = tflite_editor.EditableModel(_convert_to_tflite(module, quantization))
    tflite_input.accept_uint8(
        model, input_format.mean, input_format.std, bgr=input_format.channel_order == BGR
    )
    zeros, ones = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    uint8_metadata = dataclasses.replace(metadata, mean=zeros, std=ones, channel_order="RGB")
    return tflite_metadata.add(model, uint8_metadata)


def _convert_to_tflite(module: Any, quantization: str) -> bytes:
    import tensorflow as tf

    function = module.function.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    if quantization != tflite.NONE:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == tflite.FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    try:
        with quiet_native_libraries():
            return converter.convert()
    # The converter's own exception type is in a private module of TensorFlow.
    except Exception as error:
        if disk_error(error):
            raise
        operations = _UNSUPPORTED_OPERATION.findall(str(error)) or [type(error).__name__]
        raise UserError(
            f"TFLite does not support operations of the network: "
            f"{', '.join(sorted(set(operations)))}; leave --tflite_file out, or use another network"
        ) from error


def _module(
    classifier: ConvertedClassifier,
    scores: Callable[[Any], Any],
    *,
    dtype: str,
    batch_size: int | None,
) -> Any:
    """Returns a module whose `function` has the names of inputs and outputs in exported files.

    Args:
        classifier: Classifier with the shape of the images.
        scores: Function from images to scores.
        dtype: Type of the images.
        batch_size: Number of images in a call, or None for any number.
    """
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    source = classifier.source
    shape = (batch_size, source.height, source.width, source.channels)
    spec = tf.TensorSpec(shape, dtype, PIXELS_INPUT)
    with quiet_native_libraries():
        traced = tf.function(scores, [spec], autograph=False)
        # The TFLite converter silently loses variables of Keras 3.
        frozen = convert_to_constants.convert_variables_to_constants_v2(
            traced.get_concrete_function()
        )
    module = tf.Module()
    # TensorFlow saves only what is an attribute of the module.
    module.frozen = frozen
    module.function = tf.function(
        lambda image: {OUTPUT: frozen(image)[0]}, input_signature=[spec], autograph=False
    )
    return module
