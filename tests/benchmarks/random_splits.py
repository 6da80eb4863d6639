"""Splits the images of a folder at random, for benchmarks that average over several splits."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain.config import SplitOptions
from retrain.data.dataset import Dataset, scan_dataset
from retrain.data.splits import TRAINING


class Rows(NamedTuple):
    """Indices of the images in each split, int [N].

    Attributes:
        test: A random tenth of the images.
        validation: Another tenth.
        training: All other images.
    """

    test: np.ndarray
    validation: np.ndarray
    training: np.ndarray


def scan_unsplit(folder: Path) -> Dataset:
    """Returns the images of a folder, all in the training split."""
    dataset = scan_dataset(folder, SplitOptions())
    images = tuple(dataclasses.replace(image, split=TRAINING) for image in dataset.images)
    return dataclasses.replace(dataset, images=images)


def split(count: int, seed: int) -> Rows:
    """Returns a random split of `count` images."""
    order = np.random.default_rng(seed).permutation(count)
    return Rows(*np.split(order, [count // 10, count // 5]))
