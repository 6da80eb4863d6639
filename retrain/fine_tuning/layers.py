"""Loads a backbone as a Keras model, and makes its last layers trainable."""

from typing import Any

from retrain.backbones import freeze
from retrain.backbones.backbone import Backbone
from retrain.errors import UserError
from retrain.fine_tuning import cut
from retrain.fine_tuning.precision import leaf_layers
from retrain.runtimes.tensorflow_import import import_session_modules
from retrain.system.program.console import quiet_native_libraries
from retrain.training_options import ALL_LAYERS, AUTO


def load_trainable(backbone: Backbone, count: int | str, *, seed: int = 0) -> Any:
    """Returns a backbone as a Keras model whose last layers are trainable.

    Args:
        backbone: The pretrained backbone.
        count: Number of trainable layers, as for `unfreeze`.
        seed: Random seed of the dropout layers.

    Raises:
        UserError: If the backbone does not consist of Keras layers, or has fewer layers.
    """
    _check_keras(backbone)
    # Another thread may still be importing TensorFlow; this waits until it has finished.
    import_session_modules()
    from tensorflow import keras

    # Dropout layers take their seeds when they are created.
    keras.utils.set_random_seed(seed)
    network = load_network(backbone)
    unfreeze(network, backbone.name, count)
    return network


def load_network(backbone: Backbone) -> Any:
    """Returns a backbone as a Keras model from normalised pixels to features.

    Args:
        backbone: A backbone with a Keras file.
    """
    from tensorflow import keras

    network = keras.models.load_model(backbone.keras_file, compile=False)
    return network if backbone.stage_widths else freeze.last_layer(network)


def check(backbone: Backbone, count: int | str) -> None:
    """Raises UserError if `load_trainable` would."""
    _check_keras(backbone)
    if count not in (ALL_LAYERS, AUTO):
        # Loading takes seconds, but an error after the training of the head would cost more.
        with quiet_native_libraries():
            load_trainable(backbone, count)


def _check_keras(backbone: Backbone) -> None:
    if backbone.keras_file is None:
        raise UserError(
            "--fine_tune_epochs needs a backbone made of Keras layers, which "
            f"{backbone.name} is not; leave the flag out, or use an --architecture instead of "
            "--tfhub_module or --model_dir"
        )


def unfreeze(network: Any, name: str, count: int | str) -> None:
    """Makes the last layers of a network trainable, and freezes all others.

    Only layers with weights count. Batch normalisation layers do not count and stay frozen: their
    pretrained statistics are better than those of a few images.

    Args:
        network: A Keras model.
        name: Name of the network for messages.
        count: Number of trainable layers; ALL_LAYERS; or AUTO, see `cut.last_stages`.

    Raises:
        UserError: If the network has fewer layers.
    """
    from tensorflow import keras

    network.trainable = True
    layers = [layer for layer in leaf_layers(network) if layer.weights]
    for layer in layers:
        layer.trainable = False
    candidates = [
        layer for layer in layers if not isinstance(layer, keras.layers.BatchNormalization)
    ]
    if count == AUTO:
        for layer in set(candidates).intersection(cut.last_stages(network)):
            layer.trainable = True
        return
    if int(count) > len(candidates):
        raise UserError(
            f"--fine_tune_layers={count} is more than the {len(candidates)} layers with weights "
            f"of {name}; use a smaller number, or {ALL_LAYERS} for all layers"
        )
    first = 0 if count == ALL_LAYERS else len(candidates) - int(count)
    for layer in candidates[first:]:
        layer.trainable = True
