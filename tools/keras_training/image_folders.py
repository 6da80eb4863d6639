"""Folders of images to the pixels that a network takes."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from retrain.data import pixels
from retrain.data.dataset import tell_of_ignored
from retrain.data.folders import Listing, list_images
from retrain.data.labels import labels_of
from retrain.data.pixels import UnreadableImageError
from retrain.errors import UserError
from retrain.system.progress import ProgressBar
from retrain.system.text import name_some
from retrain.system.threads import parallel_map, processors
from tools.keras_training.examples import Data, Examples, room

TRAIN, VAL = "train_dir", "val_dir"

# Enough to see what the network sees.
SHOWN = 40


class Shape(NamedTuple):
    """Of the images that a network takes, in pixels; `channels` is 1 for grey, 3 for RGB."""

    height: int
    width: int
    channels: int


class ImageFile(NamedTuple):
    """A file and the number of its class."""

    path: Path
    class_id: int


class Found(NamedTuple):
    """The images in two folders with the same classes.

    Attributes:
        labels: of the classes.
        folders: name of the folder of each.
        images: by TRAIN and VAL, ordered by class, then by name.
        names: a text that is another where files in the two folders have other names.
    """

    labels: tuple[str, ...]
    folders: tuple[str, ...]
    images: Mapping[str, tuple[ImageFile, ...]]
    names: str


def find(train_dir: Path, val_dir: Path) -> Found:
    """Returns what images there are.

    Raises:
        UserError: a folder cannot be read, or the two have not the same classes.
    """
    roots = {TRAIN: train_dir, VAL: val_dir}
    listings = list_images(roots)
    for flag, listing in listings.items():
        _check_class_ids(flag, roots[flag], listing)
    _check_same(roots, listings)
    tell_of_ignored(list(listings.values()))
    folders = tuple(listings[TRAIN].images)
    images = {
        flag: tuple(
            ImageFile(roots[flag] / folder / file, class_id)
            for class_id, folder in enumerate(folders)
            for file in listing.images[folder]
        )
        for flag, listing in listings.items()
    }
    names = repr([listing.images for listing in listings.values()])
    digest = hashlib.sha256(names.encode()).hexdigest()
    return Found(labels_of(folders), folders, images, digest)


def _check_class_ids(flag: str, root: Path, listing: Listing) -> None:
    if len(listing.images) < 2:
        found = ", ".join(listing.images) or "none"
        lie = "image lies" if listing.loose == 1 else "images lie"
        loose = f"; {listing.loose:,} {lie} directly in the folder" if listing.loose else ""
        raise UserError(
            f"--{flag}={root} must have a sub-folder of images for each of two classes or "
            f"more, but has: {found}{loose}"
        )


def _check_same(roots: Mapping[str, Path], listings: Mapping[str, Listing]) -> None:
    for flag, other in ((TRAIN, VAL), (VAL, TRAIN)):
        missing = [name for name in listings[other].images if name not in listings[flag].images]
        if missing:
            names = name_some(missing)
            raise UserError(
                f"--{flag}={roots[flag]} has no images of {names}, but "
                f"--{other}={roots[other]} has; both need the same sub-folders"
            )


def load(found: Found, shape: Shape) -> Data:
    """Returns the images, decoded; those that cannot be read are named and left out.

    Raises:
        UserError: none of a class can be read, or there is no room for them.
    """
    train = _decoded(found, TRAIN, shape)
    validation = _decoded(found, VAL, shape)
    return Data(found.labels, found.folders, train, validation, train.sample(SHOWN))


def show(paths: Sequence[Path], class_ids: np.ndarray, shape: Shape) -> Examples:
    """Returns some of the images, decoded.

    Args:
        paths: of N images that can be read.
        class_ids: of them, int [N].
        shape: to bring them to.
    """
    rows = Examples(np.arange(len(paths)), class_ids).sample(SHOWN).inputs
    seen = [_decode(ImageFile(paths[row], int(class_ids[row])), shape) for row in rows]
    # One could be read a moment ago.
    readable = [number for number, one in enumerate(seen) if isinstance(one, np.ndarray)]
    inputs = [seen[number] for number in readable]
    return Examples(np.array(inputs).reshape(-1, *shape), class_ids[rows[readable]])


def _decoded(found: Found, flag: str, shape: Shape) -> Examples:
    images = found.images[flag]
    inputs = room((len(images), *shape))
    readable: list[ImageFile] = []
    for image, seen in zip(images, _decode_all(images, shape), strict=True):
        if isinstance(seen, UnreadableImageError):
            logging.warning("Skipped %s: %s.", image.path, seen)
            continue
        inputs[len(readable)] = seen
        readable.append(image)
    class_ids = np.array([image.class_id for image in readable], np.int64)
    lost = sorted(set(range(len(found.folders))) - set(class_ids.tolist()))
    if lost:
        raise UserError(
            f"no image of {found.folders[lost[0]]} in --{flag} can be read, as said above; mend "
            "them, or remove the folder from both parts"
        )
    return Examples(inputs[: len(readable)], class_ids)


def _decode_all(
    images: Sequence[ImageFile], shape: Shape
) -> Iterator[np.ndarray | UnreadableImageError]:
    with ProgressBar(len(images), "Decoding") as progress:
        workers = processors()
        for seen in parallel_map(lambda image: _decode(image, shape), images, workers):
            progress.add(1)
            yield seen


def _decode(image: ImageFile, shape: Shape) -> np.ndarray | UnreadableImageError:
    try:
        colours = pixels.decode(image.path.read_bytes(), shape.height, shape.width)
    except UnreadableImageError as error:
        return error
    except OSError as error:
        return UnreadableImageError(f"it cannot be read ({error.strerror})")
    return in_channels(colours, shape.channels)


def in_channels(colours: np.ndarray, channels: int) -> np.ndarray:
    """Returns uint8 [height, width, channels] of RGB pixels, uint8 [height, width, 3]."""
    if channels == 3:
        return colours
    # ITU-R 601-2, as everything else makes grey of RGB.
    return np.asarray(Image.fromarray(colours).convert("L"))[..., np.newaxis]
