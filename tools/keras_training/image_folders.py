"""Folders of pictures to the pixels that a network takes."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from retrain.data import pixels
from retrain.data.dataset import tell_of_ignored
from retrain.data.folders import Listing, list_pictures
from retrain.data.labels import labels_of
from retrain.data.pixels import UnreadablePictureError
from retrain.errors import UserError
from retrain.system.progress import Progress
from retrain.system.threads import parallel_map, processors
from tools.keras_training.examples import Data, Examples, room

TRAIN, VAL = "train_dir", "val_dir"

# Enough to see what the network sees.
SHOWN = 40

_NAMED_AT_MOST = 5


class Shape(NamedTuple):
    """Of the pictures that a network takes, in pixels; `channels` is 1 for grey, 3 for RGB."""

    height: int
    width: int
    channels: int


class Picture(NamedTuple):
    """A file and the number of its category."""

    path: Path
    category: int


class Found(NamedTuple):
    """The pictures in two folders with the same categories.

    Attributes:
        labels: of the categories.
        folders: name of the folder of each.
        pictures: by TRAIN and VAL, ordered by category, then by name.
        names: a text that is another where files in the two folders have other names.
    """

    labels: tuple[str, ...]
    folders: tuple[str, ...]
    pictures: Mapping[str, tuple[Picture, ...]]
    names: str


def find(train_dir: Path, val_dir: Path) -> Found:
    """Returns what pictures there are.

    Raises:
        UserError: a folder cannot be read, or the two have not the same categories.
    """
    roots = {TRAIN: train_dir, VAL: val_dir}
    listings = list_pictures(roots)
    for flag, listing in listings.items():
        _check_categories(flag, roots[flag], listing)
    _check_same(roots, listings)
    tell_of_ignored(list(listings.values()))
    folders = tuple(listings[TRAIN].pictures)
    pictures = {
        flag: tuple(
            Picture(roots[flag] / folder / file, category)
            for category, folder in enumerate(folders)
            for file in listing.pictures[folder]
        )
        for flag, listing in listings.items()
    }
    names = repr([listing.pictures for listing in listings.values()])
    digest = hashlib.sha256(names.encode()).hexdigest()
    return Found(labels_of(folders), folders, pictures, digest)


def _check_categories(flag: str, root: Path, listing: Listing) -> None:
    if len(listing.pictures) < 2:
        found = ", ".join(listing.pictures) or "none"
        lie = "picture lies" if listing.loose == 1 else "pictures lie"
        loose = f"; {listing.loose:,} {lie} directly in the folder" if listing.loose else ""
        raise UserError(
            f"--{flag}={root} must have a sub-folder of pictures for each of two categories or "
            f"more, but has: {found}{loose}"
        )


def _check_same(roots: Mapping[str, Path], listings: Mapping[str, Listing]) -> None:
    for flag, other in ((TRAIN, VAL), (VAL, TRAIN)):
        missing = [name for name in listings[other].pictures if name not in listings[flag].pictures]
        if missing:
            more = len(missing) - _NAMED_AT_MOST
            names = ", ".join(missing[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
            raise UserError(
                f"--{flag}={roots[flag]} has no pictures of {names}, but "
                f"--{other}={roots[other]} has; both need the same sub-folders"
            )


def load(found: Found, shape: Shape) -> Data:
    """Returns the pictures, decoded; those that cannot be read are named and left out.

    Raises:
        UserError: none of a category can be read, or there is no room for them.
    """
    train = _decoded(found, TRAIN, shape)
    validation = _decoded(found, VAL, shape)
    return Data(found.labels, found.folders, train, validation, train.sample(SHOWN))


def show(paths: Sequence[Path], categories: np.ndarray, shape: Shape) -> Examples:
    """Returns some of the pictures, decoded.

    Args:
        paths: of N pictures that can be read.
        categories: of them, int [N].
        shape: to bring them to.
    """
    rows = Examples(np.arange(len(paths)), categories).sample(SHOWN).inputs
    seen = [_decode(Picture(paths[row], int(categories[row])), shape) for row in rows]
    # One could be read a moment ago.
    readable = [number for number, one in enumerate(seen) if isinstance(one, np.ndarray)]
    inputs = [seen[number] for number in readable]
    return Examples(np.array(inputs).reshape(-1, *shape), categories[rows[readable]])


def _decoded(found: Found, flag: str, shape: Shape) -> Examples:
    pictures = found.pictures[flag]
    inputs = room((len(pictures), *shape))
    readable: list[Picture] = []
    for picture, seen in zip(pictures, _decode_all(pictures, shape), strict=True):
        if isinstance(seen, UnreadablePictureError):
            logging.warning("Skipped %s: %s.", picture.path, seen)
            continue
        inputs[len(readable)] = seen
        readable.append(picture)
    categories = np.array([picture.category for picture in readable], np.int64)
    lost = sorted(set(range(len(found.folders))) - set(categories.tolist()))
    if lost:
        raise UserError(
            f"no picture of {found.folders[lost[0]]} in --{flag} can be read, as said above; mend "
            "them, or remove the folder from both parts"
        )
    return Examples(inputs[: len(readable)], categories)


def _decode_all(
    pictures: Sequence[Picture], shape: Shape
) -> Iterator[np.ndarray | UnreadablePictureError]:
    with Progress(len(pictures), "Decoding") as progress:
        workers = processors()
        for seen in parallel_map(lambda picture: _decode(picture, shape), pictures, workers):
            progress.add(1)
            yield seen


def _decode(picture: Picture, shape: Shape) -> np.ndarray | UnreadablePictureError:
    try:
        colours = pixels.decode(picture.path.read_bytes(), shape.height, shape.width)
    except UnreadablePictureError as error:
        return error
    except OSError as error:
        return UnreadablePictureError(f"it cannot be read ({error.strerror})")
    return in_channels(colours, shape.channels)


def in_channels(colours: np.ndarray, channels: int) -> np.ndarray:
    """Returns uint8 [height, width, channels] of RGB pixels, uint8 [height, width, 3]."""
    if channels == 3:
        return colours
    # ITU-R 601-2, as everything else makes grey of RGB.
    return np.asarray(Image.fromarray(colours).convert("L"))[..., np.newaxis]
