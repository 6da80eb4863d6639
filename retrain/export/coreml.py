"""Writes a classifier as a Core ML model, which maps an image to a label and scores."""

from pathlib import Path
from typing import Any

from retrain.export import coreml_conversion, tensorflow_functions
from retrain.export.assemble import TrainedClassifier
from retrain.export.coreml_conversion import GRAYSCALE, TensorFlowClassifier
from retrain.export.coreml_options import CLASS_LABEL, FLOAT16, ML_PROGRAM_SUFFIX
from retrain.export.coreml_reference import model as reference
from retrain.export.coremltools_import import load_coremltools
from retrain.metadata import COREML_FIELD, FIT_DESCRIPTIONS, Metadata
from retrain.output_options import CoreMLOptions
from retrain.runtimes.function_runtime import FunctionRuntime
from retrain.runtimes.runtime import Outputs, Runtime

_MAX_LISTED_LABELS = 10


def write(path: Path, classifier: TrainedClassifier, options: CoreMLOptions) -> None:
    """Writes a classifier that this program trained.

    Args:
        path: An existing, empty folder for an ML Program, whose name ends in .mlpackage, or a file
            for a neural network.
        classifier: Classifier to write.
        options: Precision, names and descriptions.

    Raises:
        UserError: If the network cannot be converted to Core ML.
    """
    metadata = classifier.metadata
    source = TensorFlowClassifier(
        scores=tensorflow_functions.build(classifier).classify,
        labels=metadata.labels,
        height=metadata.height,
        width=metadata.width,
        channel_order=metadata.channel_order,
        mean=metadata.mean,
        std=metadata.std,
    )
    write_from_tensorflow(path, source, options, metadata)


def write_from_tensorflow(
    path: Path, classifier: TensorFlowClassifier, options: CoreMLOptions, metadata: Metadata | None
) -> None:
    """Writes a classifier of any origin.

    Args:
        path: As for `write`.
        classifier: Classifier to write.
        options: Precision, names and descriptions.
        metadata: Metadata of the classifier, if there is any.

    Raises:
        UserError: If the network is not a classifier, or cannot be converted to Core ML.
    """
    model = coreml_conversion.convert(
        classifier,
        ml_program=path.suffix == ML_PROGRAM_SUFFIX,
        float16=options.precision == FLOAT16,
        input_name=options.input_name,
        probabilities_name=options.probabilities_name,
    )
    _add_descriptions(model.spec.description, classifier, options, metadata)
    model.save(path)


def load(path: Path) -> Runtime:
    """Loads the classifier in a file into the reference implementation of Core ML.

    Raises:
        UnsupportedOperationError: If the reference implementation does not support the model.
    """
    load_coremltools()
    model = reference.load(path)
    return FunctionRuntime(lambda pixels: Outputs(model(pixels)))


def describe(labels: tuple[str, ...], metadata: Metadata | None) -> str:
    """Returns one to three sentences that describe a classifier for people."""
    sentence = f"Labels images: {', '.join(labels)}."
    if len(labels) > _MAX_LISTED_LABELS:
        sentence = f"Labels images with one of {len(labels)} labels."
    sentences = [sentence]
    if metadata:
        sentences.append(f"Trained on features of {metadata.backbone}.")
        if metadata.test_accuracy is not None:
            sentences.append(f"Accuracy on held-out images: {metadata.test_accuracy:.1%}.")
    return " ".join(sentences)


def _add_descriptions(
    description: Any,
    classifier: TensorFlowClassifier,
    options: CoreMLOptions,
    metadata: Metadata | None,
) -> None:
    """Fills in what Xcode shows, and the metadata."""
    (image,) = description.input
    kind = "A grey" if classifier.channel_order == GRAYSCALE else "A colour"
    size = f"{classifier.width} x {classifier.height}"
    # Without metadata, how the network was trained is unknown.
    fit = f" {FIT_DESCRIPTIONS[metadata.fit]}" if metadata else ""
    image.shortDescription = options.input_description or f"{kind} image of {size} pixels.{fit}"
    for output in description.output:
        output.shortDescription = (
            options.label_description
            if output.name == CLASS_LABEL
            else options.probabilities_description
        )
    fields = description.metadata
    fields.author = options.author
    fields.license = options.license
    fields.versionString = options.version
    fields.shortDescription = options.description or describe(classifier.labels, metadata)
    # With this type, Xcode offers a preview of the model on images.
    fields.userDefined["com.apple.coreml.model.preview.type"] = "imageClassifier"
    if metadata:
        fields.userDefined[COREML_FIELD] = metadata.to_json()
