"""A small backbone with all of its files, and images that it can learn to tell apart."""

from pathlib import Path

import numpy as np
from PIL import Image

from retrain.backbones import backbone_cache, backbone_files
from retrain.backbones.backbone import Backbone
from tests.support import tiny_backbone


def make(cache: Path) -> Backbone:
    """Returns the tiny backbone, whose files are kept in `cache`."""
    description = backbone_cache.BackboneInfo(
        name="tiny",
        fingerprint="of the tiny backbone",
        height=tiny_backbone.SIDE,
        width=tiny_backbone.SIDE,
        mean=tiny_backbone.MEAN,
        std=tiny_backbone.STD,
        channel_order="RGB",
        feature_width=tiny_backbone.WIDTH,
    )

    def write(folder: Path) -> backbone_cache.BackboneInfo:
        backbone_files.write_keras(tiny_backbone.network(), description, folder)
        return description

    return backbone_cache.load_or_prepare(cache, description.name, description.fingerprint, write)


def draw_stripes(folder: Path, count: int = 20, noise: int = 60) -> Path:
    """Draws noisy images of stripes that lie, stand or are slanted, `count` of each.

    Colours tell nothing, so that a network that nobody trained finds them hard.
    """
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:24, :24]
    for name, place in (("lie", rows), ("stand", columns), ("slant", rows + columns)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            bright = 100 * ((place + rng.integers(8)) % 8 < 4)[..., None]
            pixels = bright + rng.integers(0, 60, 3) + rng.integers(-noise, noise + 1, (24, 24, 3))
            image = Image.fromarray(np.clip(pixels + 40, 0, 255).astype(np.uint8))
            image.save(folder / name / f"{number}.png")
    return folder
