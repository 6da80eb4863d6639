"""Weights of Keras's networks in files of all kinds, with numbers at random."""

from pathlib import Path
from typing import Any

import numpy as np

from retrain.backbones import keras_applications
from retrain.backbones.keras_architectures import ARCHITECTURES


def network(name: str, include_top: bool = False, seed: int = 0) -> Any:
    """Returns the Keras model of that name with weights at random; the same every time.

    Statistics of normalisations are those of images of patches, so that signals get through.
    """
    import tensorflow as tf

    tf.keras.utils.set_random_seed(seed)
    application = ARCHITECTURES[name]
    model = keras_applications.build_model(application, include_top)
    normalisations = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, tf.keras.layers.BatchNormalization)
    ]
    for layer in model._flatten_layers():
        if type(layer).__name__ == "LayerScale":
            # They begin with almost nothing, as if the blocks before them were not there.
            layer.gamma.assign(np.full(layer.gamma.shape, 0.5))
    usual = [layer.momentum for layer in normalisations]
    for layer in normalisations:
        layer.momentum = 0.0
    side = application.side
    coarse = np.random.default_rng(seed).uniform(-1, 1, (8, 5, 5, 3)).astype(np.float32)
    rows = np.arange(side) * 5 // side
    model(coarse[:, rows][:, :, rows], training=True)
    for layer, momentum in zip(normalisations, usual, strict=True):
        layer.momentum = momentum
    return model


def write_new(path: Path, model: Any) -> Path:
    """Writes them as Keras 3 does; the path ends in `.weights.h5`."""
    model.save_weights(path)
    return path


def write_whole(path: Path, model: Any) -> Path:
    """Writes the model with its weights as Keras 2 did; the path ends in `.h5`."""
    model.save(path)
    return path


def write_old(path: Path, model: Any) -> Path:
    """Writes them as Keras 2 did, and as the published ones are; the path ends in `.h5`."""
    import h5py

    whole = write_whole(path.with_name(f"whole_{path.name}"), model)
    with h5py.File(whole) as source, h5py.File(path, "w") as target:
        layers = source["model_weights"]
        for name in layers:
            source.copy(layers[name], target, name)
        for name, value in layers.attrs.items():
            target.attrs[name] = value
    return path
