"""The default backbone, which comes with the program: EfficientNet-Lite0, trained on ImageNet."""

import hashlib
from pathlib import Path

from retrain.backbones import efficientnet_lite0_network as network
from retrain.backbones.backbone import Backbone

NAME = "efficientnet_lite0"

# Bazel puts what `convert_efficientnet_lite0` made beside this module.
_GRAPH_FILE = Path(__file__).with_name("efficientnet_lite0.pb")
_FLATBUFFER_FILE = Path(__file__).with_name("efficientnet_lite0.tflite")
_KERAS_FILE = Path(__file__).with_name("efficientnet_lite0.keras")


def load() -> Backbone:
    """Returns the backbone; its networks are read when they are first run."""
    return Backbone(
        name=NAME,
        fingerprint=hashlib.sha256(_FLATBUFFER_FILE.read_bytes()).hexdigest(),
        height=network.HEIGHT,
        width=network.WIDTH,
        mean=network.MEAN,
        std=network.STD,
        channel_order="RGB",
        feature_width=network.FEATURE_WIDTH,
        graph_file=_GRAPH_FILE,
        tflite_file=_FLATBUFFER_FILE,
        keras_file=_KERAS_FILE,
    )
