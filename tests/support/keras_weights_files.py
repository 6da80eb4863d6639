"""Writes all kinds of Keras weights files, with random weights."""

from pathlib import Path
from typing import Any

import numpy as np

from retrain.backbones import keras_applications
from retrain.backbones.keras_architectures import ARCHITECTURES


def build_model(name: str, *, include_top: bool = False, seed: int = 0) -> Any:
    """Returns a Keras model with random weights, which are the same each time.

    The statistics of its batch normalisations are those of images of patches, so that the features
    depend on the image.
    """
    import tensorflow as tf

    tf.keras.utils.set_random_seed(seed)
    architecture = ARCHITECTURES[name]
    model = keras_applications.build_model(architecture, include_top=include_top)
    normalisations = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, tf.keras.layers.BatchNormalization)
    ]
    for layer in model._flatten_layers():
        if type(layer).__name__ == "LayerScale":
            # The initial values are so small that the blocks before them would have no effect.
            layer.gamma.assign(np.full(layer.gamma.shape, 0.5))
    momenta = [layer.momentum for layer in normalisations]
    for layer in normalisations:
        layer.momentum = 0.0
    size = architecture.image_size
    patches = np.random.default_rng(seed).uniform(-1, 1, (8, 5, 5, 3)).astype(np.float32)
    rows = np.arange(size) * 5 // size
    model(patches[:, rows][:, :, rows], training=True)
    for layer, momentum in zip(normalisations, momenta, strict=True):
        layer.momentum = momentum
    return model


def write_weights(path: Path, model: Any) -> Path:
    """Writes the weights in the format of Keras 3. The path must end in `.weights.h5`."""
    model.save_weights(path)
    return path


def write_model(path: Path, model: Any) -> Path:
    """Writes the whole model: in the format of Keras 2 to `.h5`, of Keras 3 to `.keras`."""
    model.save(path)
    return path


def write_legacy_weights(path: Path, model: Any) -> Path:
    """Writes the weights in the format of Keras 2 and of the published weights, to `.h5`."""
    import h5py

    whole = write_model(path.with_name(f"whole_{path.name}"), model)
    with h5py.File(whole) as source, h5py.File(path, "w") as target:
        layers = source["model_weights"]
        for name in layers:
            source.copy(layers[name], target, name)
        for name, value in layers.attrs.items():
            target.attrs[name] = value
    return path
