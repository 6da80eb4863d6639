"""Builds a classifier from a pretrained network and a new output layer."""

from typing import Any, NamedTuple

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.errors import UserError
from retrain.fine_tuning import layers

_DEFAULT_DROPOUT = 0.2


class PretrainedModels(NamedTuple):
    """Two Keras models that share the new output layer.

    Attributes:
        classifier: Model from RGB pixels, float32 [N, height, width, 3], 0 to 255, to
            probabilities, float32 [N, classes].
        head: Model from bottlenecks, float32 [N, feature_width], to probabilities, float32
            [N, classes].
    """

    classifier: Any
    head: Any


def build(
    backbone: Backbone, classes: int, *, dropout: float | None = None, fine_tune_layers: int = 0
) -> PretrainedModels:
    """Returns the pretrained network with a new output layer, which has random weights.

    Layers of batch normalisation stay frozen.

    Args:
        backbone: The pretrained network.
        classes: Number of classes.
        dropout: Dropout rate of the bottleneck, 0 to below 1; None for 0.2.
        fine_tune_layers: Number of last layers with weights to train besides the new layer;
            `training_options.ALL_LAYERS` for all.

    Raises:
        UserError: If the network is not made of Keras layers, or if it has too few.
    """
    from tensorflow import keras

    if backbone.keras_file is None:
        raise UserError(
            f"--architecture={backbone.name} is not made of Keras layers; choose another one"
        )
    network = layers.load_network(backbone)
    layers.unfreeze(network, backbone.name, fine_tune_layers)
    rate = _DEFAULT_DROPOUT if dropout is None else dropout
    drop = keras.layers.Dropout(rate, name="dropout")
    output = keras.layers.Dense(classes, activation="softmax", name="probabilities")

    pixels = keras.Input((backbone.height, backbone.width, 3), name="image")
    channels = keras.ops.flip(pixels, axis=-1) if backbone.channel_order == "BGR" else pixels
    normalise = keras.layers.Normalization(
        mean=backbone.mean, variance=np.square(backbone.std).tolist(), name="normalise"
    )
    features = network(normalise(channels))
    bottleneck = keras.Input((backbone.feature_width,), name="bottleneck")
    return PretrainedModels(
        keras.Model(pixels, output(drop(features)), name="classifier"),
        keras.Model(bottleneck, output(drop(bottleneck)), name="head"),
    )
