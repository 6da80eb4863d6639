"""A classifier as a Core ML model, for apps on Apple's systems: image in, label and scores out."""

from pathlib import Path
from typing import Any

from retrain.config import CoreMLOptions
from retrain.export import coreml_conversion, network
from retrain.export.answers import Answers
from retrain.export.assemble import Classifier
from retrain.export.coreml_conversion import GRAYSCALE, Network
from retrain.export.coreml_options import CLASS_LABEL, FLOAT16, PROGRAM
from retrain.export.coreml_reference import model as reference
from retrain.metadata import Metadata

# Where our own description is, among what Core ML keeps without looking at it.
METADATA_FIELD = "retrain_metadata"

_LABELS_NAMED_AT_MOST = 10


def write(path: Path, classifier: Classifier, options: CoreMLOptions) -> None:
    """Writes the classifier.

    Args:
        path: of an existing, empty folder that ends in PROGRAM, or of a file in NEURAL_NETWORK.
        classifier: what was trained.
        options: how to write it.

    Raises:
        UserError: the network has operations that Core ML has not.
    """
    write_network(path, _network(classifier), options, classifier.metadata)


def write_network(
    path: Path, converted: Network, options: CoreMLOptions, metadata: Metadata | None
) -> None:
    """Writes a classifier of any origin.

    Args:
        path: as for `write`.
        converted: the classifier.
        options: how to write it.
        metadata: our own, if there are any, for other programs that read them.

    Raises:
        UserError: it is no classifier, or has operations that Core ML has not.
    """
    program, half = path.suffix == PROGRAM, options.precision == FLOAT16
    names = options.input_name, options.probabilities_name
    model = coreml_conversion.convert(converted, program, half, *names)
    _describe(model.spec.description, converted, options, metadata)
    model.save(path)


def load(path: Path) -> Answers:
    """Returns the classifier in a file, as our reference of Core ML's arithmetic evaluates it.

    Raises:
        coreml_reference.kernels.UnknownOperationError: the reference does not know all of it.
    """
    coreml_conversion.load_coremltools()
    return Answers(reference.load(path))


def describe(labels: tuple[str, ...], metadata: Metadata | None) -> str:
    """Returns a sentence or two on what a classifier does, for people."""
    which = ": " + ", ".join(labels)
    if len(labels) > _LABELS_NAMED_AT_MOST:
        which = f" with one of {len(labels)} labels"
    parts = [f"Labels images{which}."]
    if metadata:
        parts.append(f"Trained on features of {metadata.backbone}.")
        if metadata.test_accuracy is not None:
            parts.append(f"Accuracy on images held out: {metadata.test_accuracy:.1%}.")
    return " ".join(parts)


def _network(classifier: Classifier) -> Network:
    metadata = classifier.metadata
    return Network(
        scores=network.functions(classifier).from_pixels,
        labels=metadata.labels,
        height=metadata.height,
        width=metadata.width,
        colours=metadata.channel_order,
        mean=metadata.mean,
        std=metadata.std,
    )


def _describe(
    description: Any, converted: Network, options: CoreMLOptions, metadata: Metadata | None
) -> None:
    """Fills in the part of a model that people and Xcode read."""
    (image,) = description.input
    colour = "grey" if converted.colours == GRAYSCALE else "colour"
    size = f"{converted.width} x {converted.height}"
    image.shortDescription = options.input_description or f"An image in {colour}, {size} pixels."
    for output in description.output:
        output.shortDescription = (
            options.label_description
            if output.name == CLASS_LABEL
            else options.probabilities_description
        )
    written = description.metadata
    written.author = options.author
    written.license = options.license
    written.versionString = options.version
    written.shortDescription = options.description or describe(converted.labels, metadata)
    # Xcode offers to try the model on images then.
    written.userDefined["com.apple.coreml.model.preview.type"] = "imageClassifier"
    if metadata:
        written.userDefined[METADATA_FIELD] = metadata.to_json()
