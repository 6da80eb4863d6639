"""A pretrained network with a new last layer, the ends of which Keras trains."""

from typing import Any, NamedTuple

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.errors import UserError
from retrain.fine_tuning import layers

USUAL_DROPOUT = 0.2


class Joined(NamedTuple):
    """Two Keras models that share the new layer.

    Attributes:
        classifier: from pixels as they are, float32 [N, height, width, 3], 0 to 255, RGB, to
            float32 [N, classes].
        head: from bottlenecks, float32 [N, feature_width], to the same.
    """

    classifier: Any
    head: Any


def join(backbone: Backbone, classes: int, dropout: float | None, fine_tune_layers: int) -> Joined:
    """Returns the network with a new layer, whose weights are at random.

    Batch normalisation stays as it is in all of the pretrained layers: what few images teach it
    is worse than what it knows.

    Args:
        backbone: the pretrained network.
        classes: how many classes there are.
        dropout: the part of the bottleneck to drop; None for what is usual.
        fine_tune_layers: how many of its last layers with weights learn, too.

    Raises:
        UserError: it is not made of Keras's layers, or has not so many.
    """
    # Through TensorFlow: after `graph_session`, Keras cannot be the first to import it.
    from tensorflow import keras

    if backbone.keras_file is None:
        raise UserError(
            f"--architecture={backbone.name} is not made of Keras's layers; choose another one"
        )
    network = keras.models.load_model(backbone.keras_file, compile=False)
    layers.unfreeze(network, backbone.name, fine_tune_layers)
    rate = USUAL_DROPOUT if dropout is None else dropout
    drop = keras.layers.Dropout(rate, name="dropout")
    softmax = keras.layers.Dense(classes, activation="softmax", name="probabilities")

    pixels = keras.Input((backbone.height, backbone.width, 3), name="image")
    channels = keras.ops.flip(pixels, axis=-1) if backbone.channel_order == "BGR" else pixels
    normalise = keras.layers.Normalization(
        mean=backbone.mean, variance=np.square(backbone.std).tolist(), name="normalise"
    )
    vectors = network(normalise(channels))
    bottleneck = keras.Input((backbone.feature_width,), name="bottleneck")
    return Joined(
        keras.Model(pixels, softmax(drop(vectors)), name="classifier"),
        keras.Model(bottleneck, softmax(drop(bottleneck)), name="head"),
    )
