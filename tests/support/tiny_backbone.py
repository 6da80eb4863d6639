"""A backbone that computes in no time, of the kinds of layers that real ones are made of."""

from pathlib import Path
from typing import Any

from retrain.backbones import freeze
from retrain.backbones.backbone import Backbone

SIDE = 16
WIDTH = 64
MEAN, STD = (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)


def network() -> Any:
    """Returns a Keras model from float32 [N, SIDE, SIDE, 3] to [N, WIDTH]; the same every time."""
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


def write(folder: Path) -> Backbone:
    """Returns it as a backbone, without a graph; its file is written to `folder`."""
    file = folder / "tiny.tflite"
    file.write_bytes(freeze.to_tflite(network()))
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
