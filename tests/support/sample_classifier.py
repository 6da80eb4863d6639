"""Makes a classifier without training: the real backbone with a random head."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from retrain.backbones import efficientnet_lite0, engines
from retrain.data import pixels
from retrain.export.assemble import TrainedClassifier
from retrain.metadata import Metadata
from retrain.runtimes.head import Head

LABELS = ("red", "grün", "blue sky")


def classifier(**changes: Any) -> TrainedClassifier:
    """Returns a classifier with LABELS, and `changes` to its metadata."""
    backbone = efficientnet_lite0.load()
    metadata = Metadata(
        labels=LABELS,
        folders=("Red", "Grün", "Blue_Sky"),
        height=backbone.height,
        width=backbone.width,
        mean=backbone.mean,
        std=backbone.std,
        channel_order=backbone.channel_order,
        resize_method=pixels.RESIZE_METHOD,
        output="final_result",
        backbone=backbone.name,
        fingerprint=backbone.fingerprint,
        split={},
        test_accuracy=None,
        training={"steps": 3},
        versions={},
    )
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.2, (backbone.feature_width, len(LABELS))).astype(np.float32)
    head = Head(weights, np.array([0, 1, -1], np.float32))
    return TrainedClassifier(backbone, head, dataclasses.replace(metadata, **changes))


def images(count: int, *, seed: int = 0) -> np.ndarray:
    """Returns noise of large and of small scale, uint8 [count, 224, 224, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 7, 7, 3), np.uint8)
    patches = coarse.repeat(32, 1).repeat(32, 2).astype(np.int16)
    noise = rng.integers(-20, 21, patches.shape)
    return np.clip(patches + noise, 0, 255).astype(np.uint8)


def features(
    images: np.ndarray, *, engine: str = engines.FLOAT32, int8_network: bytes | None = None
) -> np.ndarray:
    """Returns the features of images, float32 [N, width].

    Args:
        images: uint8 [N, 224, 224, 3], RGB.
        engine: Name of the engine that computes the features.
        int8_network: Network for the int8 engine.
    """
    backbone = efficientnet_lite0.load()
    return engines.create(engine, backbone, int8_network=int8_network).load().run(images)


def save(folder: Path, image: np.ndarray, name: str, *, size: tuple[int, int] = (224, 224)) -> Path:
    """Writes an image, resized to (width, height), in the format of the name's suffix."""
    path = folder / name
    Image.fromarray(image).resize(size).save(path)
    return path
