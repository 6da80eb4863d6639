"""Draws the images that exported files are checked with."""

import dataclasses
from pathlib import Path

import numpy as np

from retrain.bottlenecks.features import Bottlenecks
from retrain.data import image_reader, pixels
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.metadata import STRETCH
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map

# Number of images in a sample. If fewer images are held out, others make up the minimum.
MIN_IMAGES, MAX_IMAGES = 50, 500


@dataclasses.dataclass(frozen=True)
class Sample:
    """The images that files are checked with.

    Attributes:
        paths: Paths of N images.
        pixels: The decoded images, uint8 [N, height, width, 3], RGB.
        held_out: Number of images in the test split, which come first.
    """

    paths: tuple[Path, ...]
    pixels: np.ndarray
    held_out: int


def draw_sample(
    features: Bottlenecks,
    height: int,
    width: int,
    *,
    fit: str = STRETCH,
    max_images: int = MAX_IMAGES,
) -> Sample:
    """Draws images evenly from the test split.

    If there are fewer than MIN_IMAGES, images of the validation and then of the training split make
    up the number.

    Args:
        features: Features of all images that can be read.
        height: Height to decode the images to, in pixels.
        width: Width to decode the images to, in pixels.
        fit: See `pixels.decode`.
        max_images: Maximum number of images.
    """
    paths = _spread(_paths(features, TEST), max_images)
    held_out = len(paths)
    for split in (VALIDATION, TRAINING):
        paths += _spread(_paths(features, split), MIN_IMAGES - len(paths))

    def decode(path: Path) -> np.ndarray | None:
        try:
            return pixels.decode(image_reader.read(path), height, width, fit=fit)
        except (OSError, pixels.UnreadableImageError):
            return None  # The file was changed or removed during the run.

    decoded = dict(enumerate(parallel_map(decode, paths, processor_count())))
    readable = {number: image for number, image in decoded.items() if image is not None}
    return Sample(
        tuple(paths[number] for number in readable),
        np.stack(list(readable.values())),
        sum(number < held_out for number in readable),
    )


def _paths(features: Bottlenecks, split: str) -> list[Path]:
    return [image.path for image in features.split(split).images]


def _spread(paths: list[Path], count: int) -> list[Path]:
    """Returns at most `count` paths, evenly spread over the list."""
    if len(paths) <= count:
        return paths
    return [paths[number] for number in np.linspace(0, len(paths) - 1, max(count, 0)).astype(int)]
