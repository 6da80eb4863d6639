"""The networks of `keras.applications`, with weights from a file or from Keras's site."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from retrain.backbones import backbone_cache, backbone_files, keras_weights
from retrain.backbones.backbone import Backbone
from retrain.backbones.keras_architectures import ARCHITECTURES, Architecture
from retrain.errors import UserError
from retrain.system import download
from retrain.system.console import quiet_libraries
from retrain.system.files import user_path

# To be raised when the same weights give other features.
_VERSION = 1

_QUANTISED = "_quantized"


def is_known(name: str) -> bool:
    """Tells whether there is such a network, also under a name of the original's."""
    return _without_quantised(name) in ARCHITECTURES


def load(name: str, weights: Path | None, cache_dir: Path) -> Backbone:
    """Returns the network of that name with its weights, which is made at the first time.

    Args:
        name: one that `is_known`.
        weights: a file of Keras's, with or without the layers for ImageNet's classes; by default
            the published one, which is downloaded where Keras has not kept it.
        cache_dir: the folder of the cache.

    Raises:
        UserError: the weights cannot be had, are of another network, or the cache cannot be
            written.
    """
    name = _without_quantised(name)
    application = ARCHITECTURES[name]
    file = weights or _published(name, application)
    try:
        content = download.sha256(file)
    except OSError as error:
        raise UserError(
            f"--weights={file} cannot be read: {error.strerror}; name a file of weights that "
            "Keras wrote"
        ) from error
    decisive = [_VERSION, name, application.side, application.scaling, content]
    description = backbone_cache.BackboneInfo(
        name=name,
        fingerprint=hashlib.sha256(json.dumps(decisive).encode()).hexdigest(),
        height=application.side,
        width=application.side,
        mean=application.scaling.mean,
        std=application.scaling.std,
        channel_order=application.scaling.channel_order,
        feature_width=application.feature_width,
    )

    def make(folder: Path) -> backbone_cache.BackboneInfo:
        with quiet_libraries():
            backbone_files.write_keras(load_model(name, file), description, folder)
        return description

    return backbone_cache.load_or_prepare(cache_dir, name, description.fingerprint, make)


def load_model(name: str, weights: Path) -> Any:
    """Returns a Keras model from [N, side, side, 3], normalised, to [N, feature_width].

    Args:
        name: a key of APPLICATIONS.
        weights: a file of Keras's.

    Raises:
        UserError: the file has not the weights of this network.
    """
    application = ARCHITECTURES[name]
    with_top = _has_top(name, weights)
    plain = build_model(application)
    try:
        if with_top:
            complete = build_model(application, include_top=True)
            keras_weights.load(complete, weights)
            # Those of the layers that both have come first.
            plain.set_weights(complete.get_weights()[: len(plain.weights)])
        else:
            keras_weights.load(plain, weights)
    except keras_weights.WeightsError as error:
        raise UserError(
            f"--weights={weights} does not fit --architecture={name}: {error}; name a file with "
            "its weights, as Keras writes them"
        ) from error
    return _without_groups(plain)


def build_model(application: Architecture, include_top: bool = False) -> Any:
    """Returns the Keras model with weights at random."""
    # Through TensorFlow: after `graph_session`, Keras cannot be the first to import it.
    from tensorflow import keras

    pooling = {} if include_top else {"pooling": "avg"}
    return getattr(keras.applications, application.builder)(
        weights=None,
        include_top=include_top,
        input_shape=(application.side, application.side, 3),
        **pooling,
        **application.arguments,
    )


def _without_groups(network: Any) -> Any:
    """Returns the network with depthwise convolutions where it has as many groups as channels.

    They compute the same. Keras leaves those with groups to XLA, which makes functions of them that
    no other program reads, and takes long to do so.
    """
    from tensorflow import keras

    def depthwise(layer: Any) -> bool:
        grouped = isinstance(layer, keras.layers.Conv2D) and layer.groups > 1
        return grouped and layer.groups == layer.filters and layer.kernel.shape[2] == 1

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if not depthwise(layer):
            return type(layer).from_config(config)
        kept = ("name", "kernel_size", "strides", "padding", "activation", "use_bias")
        return keras.layers.DepthwiseConv2D(**{key: config[key] for key in kept})

    if not any(depthwise(layer) for layer in network._flatten_layers()):
        return network
    result = keras.models.clone_model(network, clone_function=clone, recursive=True)
    # One channel for each group, or one output for each channel: the same numbers in this order.
    pairs = zip(network.get_weights(), result.weights, strict=True)
    result.set_weights([values.reshape(weight.shape) for values, weight in pairs])
    return result


def _has_top(name: str, weights: Path) -> bool:
    """Tells whether a file has the layers for ImageNet's classes, too.

    Raises:
        UserError: it is of another network.
    """
    try:
        found = keras_weights.count_parameters(weights)
    except (keras_weights.WeightsError, OSError) as error:
        raise UserError(
            f"--weights={weights} is not a file of weights that Keras wrote: {error}"
        ) from error
    application = ARCHITECTURES[name]
    if found in (application.parameters, application.parameters_with_top):
        return found == application.parameters_with_top
    of_others = [
        other
        for other, known in ARCHITECTURES.items()
        if found in (known.parameters, known.parameters_with_top)
    ]
    if of_others:
        raise UserError(
            f"--weights={weights} has the weights of {' or '.join(of_others)}, not those "
            f"of --architecture={name}; give another architecture or another file"
        )
    # Keras will tell what is wrong with them, if anything.
    return False


def _published(name: str, application: Architecture) -> Path:
    """Returns the file of published weights, where Keras keeps it."""
    folder = user_path(os.environ.get("KERAS_HOME") or "~/.keras") / "models"
    file = folder / application.file
    try:
        download.fetch(application.url, file, application.digest)
    except OSError as error:
        raise UserError(
            f"the weights for --architecture={name} cannot be kept in {folder} "
            f"({error.strerror}); set KERAS_HOME to a folder where you may write, or give --weights"
        ) from error
    except download.DownloadError as error:
        raise UserError(
            f"the weights for --architecture={name} cannot be downloaded ({error}): get "
            f"{application.url} elsewhere and put it at {file}, or name it with --weights; "
            "--architecture=efficientnet_lite0 needs no download"
        ) from error
    return file


def _without_quantised(name: str) -> str:
    # The original had networks of its own for exports in eight bits; now any will do.
    return name.removesuffix(_QUANTISED) if name.startswith("mobilenet_") else name
