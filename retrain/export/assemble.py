"""Assembles the backbone, the trained head and their metadata into one value for the exports."""

import dataclasses
import platform
from importlib.metadata import version
from typing import Any

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.features import Bottlenecks
from retrain.config import TrainingConfig
from retrain.data import pixels
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.metadata import Metadata
from retrain.runtimes import familiarity_packing
from retrain.runtimes.familiarity import Familiarity
from retrain.runtimes.head import Head
from retrain.version import VERSION


@dataclasses.dataclass(frozen=True)
class TrainedClassifier:
    """A backbone and the head that was trained on its features.

    Attributes:
        backbone: Pretrained or fine-tuned backbone.
        head: Trained head.
        metadata: Metadata of the classifier.
        int8_network: The int8 backbone as a TFLite file, if the head was trained on its features.
        largest_logit: Largest absolute logit of the head for the training images, if there is an
            int8 network.
        familiarity: How familiar images are, compared with the training images, if that is known.
            The metadata contain it, too.
    """

    backbone: Backbone
    head: Head
    metadata: Metadata
    int8_network: bytes | None = None
    largest_logit: float | None = None
    familiarity: Familiarity | None = None


def assemble(
    config: TrainingConfig,
    backbone: Backbone,
    features: Bottlenecks,
    head: Head,
    *,
    test_accuracy: float | None,
    familiarity: Familiarity | None = None,
) -> TrainedClassifier:
    """Assembles a classifier and its metadata.

    Args:
        config: Configuration of the run.
        backbone: Backbone that computed the features.
        features: Features of the images that the head was trained on.
        head: Trained head.
        test_accuracy: Accuracy on the test split, 0 to 1; None if the split is empty.
        familiarity: How familiar images are, computed from the same features, if that is known.
    """
    # The files of a backbone compute all of its features.
    backbone = backbone.with_stages()
    complete_head = head.pad(backbone.feature_width)
    dataset = features.dataset
    training = {"engine": features.engine, **config.provenance()}
    training["stages"] = bool(complete_head.weights[backbone.bottleneck_width :].any())
    if backbone.fine_tuned:
        # In this run, or in the earlier run whose graph is the backbone.
        training["fine_tuned"] = True
    counts = {name: len(dataset.split(name)) for name in (TRAINING, VALIDATION, TEST)}
    metadata = Metadata(
        labels=dataset.labels,
        folders=dataset.folders,
        height=backbone.height,
        width=backbone.width,
        mean=backbone.mean,
        std=backbone.std,
        channel_order=backbone.channel_order,
        resize_method=pixels.RESIZE_METHOD,
        output=config.output.final_tensor_name,
        backbone=backbone.name,
        fingerprint=backbone.fingerprint,
        # Programs of version 1.0 read the counts under "pictures".
        split={
            "by": config.split.split_by,
            "group_by": config.split.group_by,
            "percentages": dataclasses.asdict(dataset.percentages),
            "images": counts,
            "pictures": counts,
        },
        test_accuracy=test_accuracy,
        training=training,
        versions=current_versions(),
        fit=backbone.fit,
        familiarity=familiarity_packing.pack(familiarity) if familiarity else None,
    )
    classifier = TrainedClassifier(
        backbone,
        complete_head,
        metadata,
        int8_network=features.int8_network,
        familiarity=familiarity,
    )
    if features.int8_network is None:
        return classifier
    logits = head.logits(features.split(TRAINING).vectors)
    largest = float(np.abs(logits).max(initial=0.0))
    return dataclasses.replace(classifier, largest_logit=largest)


def current_versions() -> dict[str, Any]:
    """Returns `Metadata.versions` for a classifier that this program writes."""
    return {
        "retrain": VERSION,
        "preprocessing": pixels.PREPROCESSING_VERSION,
        "numpy": version("numpy"),
        "pillow": version("pillow"),
        "python": platform.python_version(),
    }
