"""Loads the default backbone, EfficientNet-Lite0 for ImageNet, which the program includes."""

import hashlib
from pathlib import Path

from retrain.backbones import efficientnet_lite_network as network
from retrain.backbones.backbone import Backbone

NAME = network.LITE0.name

# `convert_efficientnet_lite0` writes these files when Bazel builds the project.
_GRAPH_FILE = Path(__file__).with_name("efficientnet_lite0.pb")
_TFLITE_FILE = Path(__file__).with_name("efficientnet_lite0.tflite")
_KERAS_FILE = Path(__file__).with_name("efficientnet_lite0.keras")


def load() -> Backbone:
    """Returns the backbone, without loading the network."""
    return Backbone(
        name=NAME,
        fingerprint=hashlib.sha256(_TFLITE_FILE.read_bytes()).hexdigest(),
        height=network.LITE0.image_size,
        width=network.LITE0.image_size,
        mean=network.MEAN,
        std=network.STD,
        channel_order="RGB",
        feature_width=network.FEATURE_WIDTH,
        graph_file=_GRAPH_FILE,
        tflite_file=_TFLITE_FILE,
        keras_file=_KERAS_FILE,
    )
