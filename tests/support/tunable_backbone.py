"""Makes a small backbone with all of its files, and images that it can learn to classify."""

from pathlib import Path

import numpy as np
from PIL import Image

from retrain.backbones import backbone_cache, backbone_files
from retrain.backbones.backbone import Backbone, BackboneInfo
from tests.support import tiny_backbone


def make(cache: Path) -> Backbone:
    """Returns the tiny backbone, whose files are in the folder `cache`."""
    info = BackboneInfo(
        name="tiny",
        fingerprint="of the tiny backbone",
        height=tiny_backbone.SIDE,
        width=tiny_backbone.SIDE,
        mean=tiny_backbone.MEAN,
        std=tiny_backbone.STD,
        channel_order="RGB",
        feature_width=tiny_backbone.WIDTH,
    )

    def prepare(folder: Path) -> BackboneInfo:
        from tensorflow import keras

        network = tiny_backbone.build_network()
        # Real backbones are functional models, too, not sequential ones.
        functional = keras.Model(network.inputs[0], network.outputs[0])
        backbone_files.write_keras(functional, info, folder)
        return info

    return backbone_cache.load_or_prepare(cache, info.name, info.fingerprint, prepare)


def draw_stripes(folder: Path, *, count: int = 20, noise: int = 60) -> Path:
    """Draws noisy images of horizontal, vertical and diagonal stripes, `count` of each.

    The classes have the same colours, so that features of an untrained network hardly tell them
    apart.
    """
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:24, :24]
    for name, position in (("lie", rows), ("stand", columns), ("slant", rows + columns)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            bright = 100 * ((position + rng.integers(8)) % 8 < 4)[..., None]
            pixels = bright + rng.integers(0, 60, 3) + rng.integers(-noise, noise + 1, (24, 24, 3))
            image = Image.fromarray(np.clip(pixels + 40, 0, 255).astype(np.uint8))
            image.save(folder / name / f"{number}.png")
    return folder
