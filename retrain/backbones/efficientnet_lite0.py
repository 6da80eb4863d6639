"""Loads the default backbone, EfficientNet-Lite0 for ImageNet, which the program includes."""

from pathlib import Path

from retrain.backbones.backbone import Backbone
from retrain.backbones.efficientnet_lite_variants import LITE0, MEAN, STD

NAME = LITE0.name

# `convert_efficientnet_lite0` writes these files when Bazel builds the project.
_GRAPH_FILE = Path(__file__).with_name("efficientnet_lite0.pb")
_TFLITE_FILE = Path(__file__).with_name("efficientnet_lite0.tflite")
_FINGERPRINT_FILE = Path(__file__).with_name("efficientnet_lite0.fingerprint")
_KERAS_FILE = Path(__file__).with_name("efficientnet_lite0.keras")


def load() -> Backbone:
    """Returns the backbone, without loading the network."""
    return Backbone(
        name=NAME,
        fingerprint=_FINGERPRINT_FILE.read_text(),
        height=LITE0.image_size,
        width=LITE0.image_size,
        mean=MEAN,
        std=STD,
        channel_order="RGB",
        feature_width=LITE0.feature_width,
        graph_file=_GRAPH_FILE,
        tflite_file=_TFLITE_FILE,
        keras_file=_KERAS_FILE,
        stage_widths=LITE0.stage_widths,
    )


def find(name: str) -> Backbone | None:
    """Returns the backbone if it has this name, and None if not."""
    return load() if name == NAME else None
