"""Creates a tiny, fast backbone with the same kinds of layers as real ones."""

from pathlib import Path
from typing import Any

from retrain.backbones import tflite_conversion
from retrain.backbones.backbone import Backbone

SIDE = 16
WIDTH = 64
MEAN, STD = (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)


def build_network() -> Any:
    """Returns a Keras model from float32 [N, SIDE, SIDE, 3] to [N, WIDTH], with fixed weights."""
    import tensorflow as tf

    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(0)
    return tf.keras.Sequential(
        [
            tf.keras.Input((SIDE, SIDE, 3)),
            layers.Conv2D(16, 3, strides=2, activation="relu6"),
            layers.DepthwiseConv2D(3),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Conv2D(WIDTH, 1, activation="relu6"),
            layers.GlobalAveragePooling2D(),
        ]
    )


def create(folder: Path) -> Backbone:
    """Writes the network to `folder` as a TFLite file, and returns it as a backbone.

    The backbone has no graph.
    """
    file = folder / "tiny.tflite"
    file.write_bytes(tflite_conversion.convert_keras(build_network()))
    return Backbone(
        name="tiny",
        fingerprint="of the tiny backbone",
        height=SIDE,
        width=SIDE,
        mean=MEAN,
        std=STD,
        channel_order="RGB",
        feature_width=WIDTH,
        graph_file=folder / "none.pb",
        tflite_file=file,
    )
