"""Which layers of a pretrained network learn."""

from typing import Any

from retrain.backbones.backbone import Backbone
from retrain.config import ALL_LAYERS
from retrain.errors import UserError
from retrain.runtimes.graph_session import tensorflow_session
from retrain.system.console import quiet_native_libraries


def load(backbone: Backbone, count: int, seed: int = 0) -> Any:
    """Returns the network of a backbone as a Keras model, whose last layers can learn.

    Args:
        backbone: the pretrained network.
        count: as for `unfreeze`.
        seed: of what is dropped at random in training, in networks that do.

    Raises:
        UserError: it is not made of Keras's layers, or has not so many.
    """
    _check_keras(backbone)
    # Another thread may be importing it; until that has ended, `tensorflow` is not all there.
    tensorflow_session()
    # Through TensorFlow: after `graph_session`, Keras cannot be the first to import it.
    from tensorflow import keras

    # Layers that drop something get theirs when they are made.
    keras.utils.set_random_seed(seed)
    network = keras.models.load_model(backbone.keras_file, compile=False)
    unfreeze(network, backbone.name, count)
    return network


def check(backbone: Backbone, count: int) -> None:
    """Raises UserError where `load` would."""
    _check_keras(backbone)
    if count != ALL_LAYERS:
        # That takes seconds, but less than to find it out after the head is trained.
        with quiet_native_libraries():
            load(backbone, count)


def _check_keras(backbone: Backbone) -> None:
    if backbone.keras_file is None:
        raise UserError(
            "--fine_tune_epochs needs a network of Keras's layers, which "
            f"{backbone.name} is not; leave the flag out, or --tfhub_module and --model_dir, and "
            "choose an --architecture"
        )


def unfreeze(network: Any, name: str, count: int) -> None:
    """Lets the last layers of a network learn, and no others.

    Only layers with weights count. Those of batch normalisation do not, and stay as they are: what
    few images teach them is worse than what they know.

    Args:
        network: a Keras model.
        name: of the network.
        count: how many of its layers learn, 0 or more; ALL_LAYERS for all.

    Raises:
        UserError: it has not so many.
    """
    from tensorflow import keras

    network.trainable = True
    flat = [layer for layer in _leaves(network) if layer.weights]
    for layer in flat:
        layer.trainable = False
    normalising = keras.layers.BatchNormalization
    learning = [layer for layer in flat if not isinstance(layer, normalising)]
    if count > len(learning):
        raise UserError(
            f"--fine_tune_layers={count} is more than the {len(learning)} layers with weights that "
            f"{name} has; give fewer, or {ALL_LAYERS} for all"
        )
    for layer in learning if count == ALL_LAYERS else learning[len(learning) - count :]:
        layer.trainable = True


def _leaves(layer: Any) -> list[Any]:
    if not hasattr(layer, "layers"):
        return [layer]
    return [leaf for inner in layer.layers for leaf in _leaves(inner)]
