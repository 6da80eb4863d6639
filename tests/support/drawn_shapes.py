"""Draws small images of three shapes that a small network learns to classify in a minute."""

from pathlib import Path

import numpy as np
from PIL import Image

SHAPES = ("bar", "cross", "ring")


def draw(count: int, seed: int, *, side: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Returns images, uint8 [count, side, side], and their indices in SHAPES, uint8 [count]."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    class_ids = rng.integers(0, len(SHAPES), count)
    images = np.empty((count, side, side), np.uint8)
    for number, class_id in enumerate(class_ids):
        y, x = rng.uniform(0.35, 0.65, 2) * side
        size = rng.uniform(0.15, 0.3) * side
        down, right = np.abs(rows - y), np.abs(columns - x)
        bar = (right < 1.5) & (down < size)
        ring = np.abs(np.hypot(down, right) - size) < 1.5
        shape = (bar, bar | ((down < 1.5) & (right < size)), ring)[class_id]
        noise = rng.integers(0, 60, (side, side))
        images[number] = np.clip(190 * shape + noise, 0, 255)
    return images, class_ids.astype(np.uint8)


def write_npz(path: Path, *, train: int = 600, test: int = 150) -> Path:
    """Writes an `.npz` file like `mnist.npz`, with `train` and `test` images."""
    x_train, y_train = draw(train, seed=0)
    x_test, y_test = draw(test, seed=1)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


def write_folders(folder: Path, count: int, seed: int) -> Path:
    """Writes `count` PNG files to sub-folders that are named after the shapes."""
    for number, (image, class_id) in enumerate(zip(*draw(count, seed), strict=True)):
        shape_folder = folder / SHAPES[class_id]
        shape_folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(shape_folder / f"{number:04}.png")
    return folder
