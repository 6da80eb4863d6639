"""Plants wrong labels and near-copies in a data set, for benchmarks of its check."""

import io
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from retrain.data import pixels

_CHANGES = ("encoded again", "resized", "cropped", "cropped and resized", "mirrored")
_CROP = 0.05


def exchange_labels(
    class_ids: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the class of each image with some of them replaced, and which were, bool [N]."""
    rng = np.random.default_rng(seed)
    class_count = int(class_ids.max()) + 1
    is_wrong = np.zeros(len(class_ids), bool)
    is_wrong[rng.choice(len(class_ids), round(share * len(class_ids)), replace=False)] = True
    noisy = class_ids.copy()
    shift = rng.integers(1, class_count, int(is_wrong.sum()))
    noisy[is_wrong] = (noisy[is_wrong] + shift) % class_count
    return noisy, is_wrong


def plant_copies(
    paths: Sequence[Path], count: int, folder: Path, seed: int
) -> list[tuple[Path, Path]]:
    """Writes changed copies of images; returns each original with its copy."""
    rng = random.Random(seed)
    pairs = []
    for number, path in enumerate(rng.sample(list(paths), count)):
        copy = folder / f"{number:04}.jpg"
        copy.write_bytes(_change(path, _CHANGES[number % len(_CHANGES)], rng))
        pairs.append((path, copy))
    return pairs


def _change(path: Path, change: str, rng: random.Random) -> bytes:
    image = pixels.decode_upright(path.read_bytes(), 10**6, 10**6)
    width, height = image.size
    if change == "mirrored":
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if "cropped" in change:
        left, top = rng.random() * _CROP * width, rng.random() * _CROP * height
        right, bottom = left + (1 - _CROP) * width, top + (1 - _CROP) * height
        image = image.crop((round(left), round(top), round(right), round(bottom)))
    if "resized" in change:
        scale = rng.choice((0.4, 0.5, 0.7, 1.3))
        size = (max(16, round(scale * image.width)), max(16, round(scale * image.height)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=rng.randint(50, 95))
    return buffer.getvalue()
