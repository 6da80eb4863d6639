"""The trained parts as one value, from which every kind of file is written."""

import dataclasses
import platform
from importlib.metadata import version
from typing import Any

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.compute import Bottlenecks
from retrain.config import TrainingConfig
from retrain.data import pixels
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.metadata import Metadata
from retrain.runtimes.head import Head


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A backbone, the head trained on its features, and what is to be said of the two.

    Attributes:
        backbone: the network.
        head: the last layer.
        metadata: what is to be said of the two.
        int8_network: the backbone in int8 as a TFLite file, where its features are those that the
            head was trained on.
        largest_logit: of the images that such a head was trained on, by amount.
    """

    backbone: Backbone
    head: Head
    metadata: Metadata
    int8_network: bytes | None = None
    largest_logit: float | None = None


def assemble(
    config: TrainingConfig,
    backbone: Backbone,
    features: Bottlenecks,
    head: Head,
    test_accuracy: float | None,
) -> Classifier:
    """Returns the classifier, described.

    Args:
        config: of the run.
        backbone: that the features come from.
        features: that were learned from.
        head: that was trained.
        test_accuracy: 0 to 1, or None where it is not known.
    """
    dataset = features.dataset
    training = {"engine": features.engine, **config.used()}
    if backbone.fine_tuned:
        # In this run or in one before: a graph can be retrained from itself.
        training["fine_tuned"] = True
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
        split={
            "by": config.split.split_by,
            "pictures": {p: len(dataset.split(p)) for p in (TRAINING, VALIDATION, TEST)},
        },
        test_accuracy=test_accuracy,
        training=training,
        versions=versions(),
    )
    if features.int8_network is None:
        return Classifier(backbone, head, metadata)
    logits = head.logits(features.part(TRAINING).vectors)
    largest = float(np.abs(logits).max(initial=0.0))
    return Classifier(backbone, head, metadata, features.int8_network, largest)


def versions() -> dict[str, Any]:
    """Returns what `Metadata.versions` are for a classifier that this program makes."""
    return {
        "preprocessing": pixels.PREPROCESSING_VERSION,
        "numpy": version("numpy"),
        "pillow": version("pillow"),
        "python": platform.python_version(),
    }
