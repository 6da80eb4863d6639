"""Loads backbones from `keras.applications`, with weights from a file or from Keras's server."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from retrain.backbones import backbone_cache, backbone_files, keras_weights
from retrain.backbones.backbone import Backbone, BackboneInfo
from retrain.backbones.keras_architectures import ARCHITECTURES, Architecture
from retrain.errors import UserError
from retrain.system.downloads import download
from retrain.system.files import checksums
from retrain.system.files.user_paths import user_path
from retrain.system.program.console import quiet_libraries
from retrain.system.text import first_line

# Increase this number when the same weights result in different features.
_VERSION = 1

_QUANTISED_SUFFIX = "_quantized"


def is_known(name: str) -> bool:
    """Returns whether `load` accepts a name."""
    return _without_quantised(name) in ARCHITECTURES


def load(
    name: str, *, weights: Path | None = None, input_size: int | None = None, cache_dir: Path
) -> Backbone:
    """Returns a network with its weights, after preparing it if it is not in the cache.

    Args:
        name: Key of ARCHITECTURES. For MobileNets it can end in `_quantized`, which is ignored.
        weights: File with the weights, written by Keras, with or without the layers for
            ImageNet's classes. If None, the published weights are used, and downloaded if Keras
            has not done so before.
        input_size: Height and width of the input images in pixels; None for those of the images
            that the network was trained on.
        cache_dir: Folder of the cache.

    Raises:
        UserError: If the weights cannot be downloaded or read, if they belong to another
            network, if the network does not support the size, or if the cache cannot be written.
    """
    name = _without_quantised(name)
    architecture = ARCHITECTURES[name]
    file = weights or _fetch_published(name, architecture)
    try:
        digest = checksums.sha256(file)
    except OSError as error:
        raise UserError(
            f"--weights={file} cannot be read: {error.strerror}; name a file of weights that "
            "Keras wrote"
        ) from error
    size = input_size or architecture.image_size
    key = [_VERSION, name, size, architecture.normalisation, digest]
    info = BackboneInfo(
        name=name,
        fingerprint=hashlib.sha256(json.dumps(key).encode()).hexdigest(),
        height=size,
        width=size,
        mean=architecture.normalisation.mean,
        std=architecture.normalisation.std,
        channel_order=architecture.normalisation.channel_order,
        feature_width=architecture.feature_width,
    )

    def prepare(folder: Path) -> BackboneInfo:
        with quiet_libraries():
            backbone_files.write_keras(load_model(name, file, size), info, folder)
        return info

    return backbone_cache.load_or_prepare(cache_dir, name, info.fingerprint, prepare)


def load_model(name: str, weights: Path, size: int) -> Any:
    """Returns a Keras model from float32 [N, size, size, 3], normalised, to [N, feature_width].

    Args:
        name: Key of ARCHITECTURES.
        weights: File with the weights, written by Keras.
        size: Height and width of the input images in pixels.

    Raises:
        UserError: If the file does not contain the weights of this network, or if the network does
            not support the size.
    """
    architecture = ARCHITECTURES[name]
    has_top = _has_top(name, weights)
    try:
        model = build_model(architecture, size)
    except ValueError as error:
        raise UserError(
            f"--input_size={size} does not fit --architecture={name}: {first_line(error)}; choose "
            "another size"
        ) from error
    try:
        if has_top:
            model_with_top = build_model(architecture, include_top=True)
            keras_weights.load(model_with_top, weights)
            # The weights of the top layers come last.
            model.set_weights(model_with_top.get_weights()[: len(model.weights)])
        else:
            keras_weights.load(model, weights)
    except keras_weights.WeightsError as error:
        raise UserError(
            f"--weights={weights} does not fit --architecture={name}: {error}; name a file that "
            "Keras wrote with the weights of this network"
        ) from error
    return _with_depthwise_layers(model)


def build_model(
    architecture: Architecture, size: int | None = None, *, include_top: bool = False
) -> Any:
    """Returns a Keras model with random weights.

    Args:
        architecture: The network.
        size: Height and width of the input images in pixels, if not those of the architecture.
        include_top: Whether to add the layers for ImageNet's classes.
    """
    from tensorflow import keras

    size = size or architecture.image_size
    pooling = {} if include_top else {"pooling": "avg"}
    return getattr(keras.applications, architecture.builder)(
        weights=None,
        include_top=include_top,
        input_shape=(size, size, 3),
        **pooling,
        **architecture.arguments,
    )


def _with_depthwise_layers(model: Any) -> Any:
    """Returns the model with DepthwiseConv2D in place of Conv2D with one channel in each group.

    The two compute the same. But Keras compiles grouped convolutions with XLA, which takes long and
    adds functions to the graph that other programs cannot read.
    """
    from tensorflow import keras

    def is_depthwise(layer: Any) -> bool:
        is_grouped = isinstance(layer, keras.layers.Conv2D) and layer.groups > 1
        return is_grouped and layer.groups == layer.filters and layer.kernel.shape[2] == 1

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if not is_depthwise(layer):
            return type(layer).from_config(config)
        common = ("name", "kernel_size", "strides", "padding", "activation", "use_bias")
        return keras.layers.DepthwiseConv2D(**{key: config[key] for key in common})

    if not any(is_depthwise(layer) for layer in model._flatten_layers()):
        return model
    result = keras.models.clone_model(model, clone_function=clone, recursive=True)
    # The shapes of the kernels differ, but the order of the values in memory is the same.
    pairs = zip(model.get_weights(), result.weights, strict=True)
    result.set_weights([values.reshape(weight.shape) for values, weight in pairs])
    return result


def _has_top(name: str, weights: Path) -> bool:
    """Returns whether a file contains the weights of the layers for ImageNet's classes.

    Raises:
        UserError: If it contains the weights of another network.
    """
    try:
        count = keras_weights.count_parameters(weights)
    except (keras_weights.WeightsError, OSError) as error:
        raise UserError(
            f"--weights={weights} is not a file of weights that Keras wrote: {error}; name such a "
            "file, or leave --weights out"
        ) from error
    architecture = ARCHITECTURES[name]
    if count in (architecture.parameters, architecture.parameters_with_top):
        return count == architecture.parameters_with_top
    matches = [
        other
        for other, row in ARCHITECTURES.items()
        if count in (row.parameters, row.parameters_with_top)
    ]
    if matches:
        raise UserError(
            f"--weights={weights} has the weights of {' or '.join(matches)}, not those "
            f"of --architecture={name}; name another architecture or another file"
        )
    # The size is unknown. Keras then fails to load the file, and reports the reason.
    return False


def _fetch_published(name: str, architecture: Architecture) -> Path:
    """Returns the published weights in Keras's cache, after downloading them if necessary."""
    folder = user_path(os.environ.get("KERAS_HOME") or "~/.keras") / "models"
    file = folder / architecture.file_name
    try:
        download.fetch(architecture.url, file, digest=architecture.digest)
    except OSError as error:
        raise UserError(
            f"the weights for --architecture={name} cannot be written to {folder} "
            f"({error.strerror}); set KERAS_HOME to a writable folder, or use --weights"
        ) from error
    except download.DownloadError as error:
        raise UserError(
            f"the weights for --architecture={name} cannot be downloaded ({error}); get "
            f"{architecture.url} in another way and save it as {file}, or name it with --weights; "
            "--architecture=efficientnet_lite0 needs no download"
        ) from error
    return file


def _without_quantised(name: str) -> str:
    # The original retrain.py had separate networks for 8-bit exports. Here every network works.
    return name.removesuffix(_QUANTISED_SUFFIX) if name.startswith("mobilenet_") else name
