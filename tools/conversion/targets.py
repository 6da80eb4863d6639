"""Writes a classifier in other formats, and tries what was written before it gets its name."""

import dataclasses
import logging
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from retrain.config import CoreMLOptions
from retrain.errors import UserError
from retrain.export import (
    coreml,
    tflite,
    tflite_editor,
    tflite_input,
    tflite_metadata,
)
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
from retrain.runtimes.litert import LiteRTModel
from retrain.runtimes.runtime import ModelError
from retrain.system.console import quiet_native_libraries
from retrain.system.files import atomic_file, atomic_folder
from tools.conversion.classifier import Complete

# How far answers may be from those of what was converted.
_EXACT, _ROUNDED = 1e-3, 5e-2

_TFLITE_LACKS = re.compile(r"tf\.([A-Z]\w*)")

Answers = Callable[[np.ndarray], np.ndarray]


class WrongAnswersError(Exception):
    """What was written answers something else: a defect of this program, or of a converter."""


def write_coreml(path: Path, classifier: Complete, options: CoreMLOptions) -> None:
    """Writes a Core ML file.

    Raises:
        UserError: it cannot be written, or the network has operations that Core ML has not.
        WrongAnswersError: it would answer something else.
    """
    pixels = classifier.pixels
    network = TensorFlowClassifier(
        scores=classifier.scores,
        labels=classifier.labels,
        height=classifier.source.height,
        width=classifier.source.width,
        channel_order=pixels.colours,
        mean=pixels.mean,
        std=pixels.std,
    )
    tolerance = _ROUNDED if options.precision == FLOAT16 else _EXACT
    with (atomic_folder if path.suffix == ML_PROGRAM_SUFFIX else atomic_file)(path) as temporary:
        coreml.write_from_tensorflow(temporary, network, options, classifier.metadata())
        try:
            answers = coreml.load(temporary).run
        except UnsupportedOperationError as error:
            logging.warning("%s was not tried, as it has what is not known here: %s.", path, error)
        else:
            _try(path, answers, classifier, tolerance)


def write_tflite(path: Path, classifier: Complete, quantization: str) -> None:
    """Writes a TFLite file that takes images as they are, uint8.

    Raises:
        UserError: it cannot be written, or the network has operations that TFLite has not.
        WrongAnswersError: it would answer something else.
    """
    with atomic_file(path) as temporary:
        temporary.write_bytes(_to_tflite(classifier, quantization))
        try:
            model = LiteRTModel(temporary.read_bytes())
        except ModelError as error:
            raise UserError(f"the network cannot be run by LiteRT: {error}") from error

        def answers(images: np.ndarray) -> np.ndarray:
            return np.concatenate([model.run(p) for p in classifier.shown(images)])

        _try(path, answers, classifier, _EXACT if quantization == tflite.NONE else _ROUNDED)


def write_saved_model(path: Path, classifier: Complete) -> None:
    """Writes the folder of a SavedModel that takes images as they are, uint8.

    Raises:
        UserError: it cannot be written.
        WrongAnswersError: it would answer something else.
    """
    import tensorflow as tf

    with atomic_folder(path) as temporary, tempfile.TemporaryDirectory() as assets:
        module = _module(classifier, classifier.from_image, "uint8", None)
        names = {LABELS_FILE: labels_text(classifier.labels)}
        metadata = classifier.metadata()
        if metadata:
            names[METADATA_FILE] = metadata.to_json()
        for name, text in names.items():
            Path(assets, name).write_text(text, "utf-8")
        module.assets = [tf.saved_model.Asset(str(Path(assets, name))) for name in names]
        with quiet_native_libraries():
            tf.saved_model.save(module, str(temporary), {PIXELS_SIGNATURE: module.function})
            run = tf.saved_model.load(str(temporary)).signatures[PIXELS_SIGNATURE]

        def answers(images: np.ndarray) -> np.ndarray:
            shown = np.concatenate(classifier.shown(images))
            return run(**{PIXELS_INPUT: tf.constant(shown)})[OUTPUT].numpy()

        _try(path, answers, classifier, _EXACT)


def write_keras(path: Path, classifier: Complete) -> None:
    """Writes a Keras file; the model is as it was, and takes what it took.

    Raises:
        UserError: it cannot be written, or what was converted is no Keras model.
    """
    if classifier.source.keras is None:
        raise UserError(
            f"--keras_file={path} cannot be made of a graph, which has operations but no layers; "
            "choose --saved_model_dir, or let //retrain write a Keras file"
        )
    with atomic_file(path) as temporary:
        classifier.source.keras.save(temporary)
    logging.info("Wrote %s, in today's format of Keras.", path)


def _to_tflite(classifier: Complete, quantization: str) -> bytes:
    metadata, pixels = classifier.metadata(), classifier.pixels
    if metadata is None:
        grey = _module(classifier, classifier.from_image, "uint8", 1)
        return _converted_to_tflite(grey, quantization)
    module = _module(classifier, classifier.scores, "float32", 1)
    network = tflite_editor.EditableModel(_converted_to_tflite(module, quantization))
    tflite_input.accept_uint8(network, pixels.mean, pixels.std, bgr=pixels.colours == BGR)
    zero, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    of_input = dataclasses.replace(metadata, mean=zero, std=one, channel_order="RGB")
    return tflite_metadata.add(network, of_input)


def _converted_to_tflite(module: Any, quantization: str) -> bytes:
    import tensorflow as tf

    traced = module.function.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], module)
    if quantization != tflite.NONE:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == tflite.FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    try:
        with quiet_native_libraries():
            return converter.convert()
    # The converter's own type of error is in a module that TensorFlow does not show.
    except Exception as error:
        lacking = sorted(set(_TFLITE_LACKS.findall(str(error)))) or [type(error).__name__]
        raise UserError(
            f"the network has operations that TFLite has not: {', '.join(lacking)}; leave "
            "--tflite_file out, or use another network"
        ) from error


def _module(
    classifier: Complete, scores: Callable[[Any], Any], dtype: str, batch_size: int | None
) -> Any:
    """Returns a module whose `function` has the named input and output of an exported file."""
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    source = classifier.source
    shape = (batch_size, source.height, source.width, source.channels)
    spec = tf.TensorSpec(shape, dtype, PIXELS_INPUT)
    with quiet_native_libraries():
        traced = tf.function(scores, [spec], autograph=False)
        # The converter loses variables of Keras 3 without a word.
        frozen = convert_to_constants.convert_variables_to_constants_v2(
            traced.get_concrete_function()
        )
    module = tf.Module()
    # Only what belongs to the module is saved with it.
    module.frozen = frozen
    module.function = tf.function(
        lambda image: {OUTPUT: frozen(image)[0]}, input_signature=[spec], autograph=False
    )
    return module


def _try(path: Path, answers: Answers, classifier: Complete, tolerance: float) -> None:
    apart = float(np.abs(answers(classifier.images) - classifier.expected).max())
    if not apart <= tolerance * max(1.0, float(np.abs(classifier.expected).max())):
        raise WrongAnswersError(f"{path} would give scores that differ by {apart:.2g}")
    logging.info(
        "Wrote %s; for %d drawn images its scores differ by at most %.1e from those of the "
        "original.",
        *(path, len(classifier.images), apart),
    )
