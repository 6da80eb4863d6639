"""Loads the default backbone, EfficientNet-Lite0 for ImageNet, which the program includes."""

from pathlib import Path

from retrain.backbones import efficientnet_lite_network as network
from retrain.backbones.backbone import Backbone

NAME = network.LITE0.name

# `convert_efficientnet_lite0` writes these files when Bazel builds the project.
_GRAPH_FILE = Path(__file__).with_name("efficientnet_lite0.pb")
_TFLITE_FILE = Path(__file__).with_name("efficientnet_lite0.tflite")
_FINGERPRINT_FILE = Path(__file__).with_name("efficientnet_lite0.fingerprint")
_KERAS_FILE = Path(__file__).with_name("efficientnet_lite0.keras")


def load() -> Backbone:
    """Returns the backbone, without loading the network."""
    stage_widths = network.stage_widths(network.LITE0)
    return Backbone(
        name=NAME,
        fingerprint=_FINGERPRINT_FILE.read_text(),
        height=network.LITE0.image_size,
        width=network.LITE0.image_size,
        mean=network.MEAN,
        std=network.STD,
        channel_order="RGB",
        feature_width=network.BOTTLENECK_WIDTH + sum(stage_widths),
        graph_file=_GRAPH_FILE,
        tflite_file=_TFLITE_FILE,
        keras_file=_KERAS_FILE,
        stage_widths=stage_widths,
    )


def find(name: str) -> Backbone | None:
    """Returns the backbone if it has this name, and None if not."""
    return load() if name == NAME else None
