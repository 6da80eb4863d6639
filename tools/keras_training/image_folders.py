"""Lists and decodes the images in --train_dir and --val_dir."""

import functools
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from retrain.bottlenecks.duplicates import warn_of_duplicates
from retrain.data import image_reader, pixels
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.folder_checks import explain_missing_images, report_ignored
from retrain.data.folders import list_images
from retrain.data.labels import make_labels
from retrain.data.listing import Listing
from retrain.data.pixels import UnreadableImageError
from retrain.data.splits import TRAINING, VALIDATION, SplitPercentages
from retrain.errors import UserError
from retrain.metadata import STRETCH
from retrain.system.processors import processor_count
from retrain.system.progress import ProgressBar
from retrain.system.text import name_some
from retrain.system.threads import parallel_map
from tools.keras_training.examples import Examples, TrainingData, allocate_images
from tools.keras_training.image_shape import ImageShape

TRAIN_FLAG, VAL_FLAG = "train_dir", "val_dir"

PREVIEW_SIZE = 40

_FLAGS = {TRAINING: TRAIN_FLAG, VALIDATION: VAL_FLAG}

# The other splits have 0 percent, so any hash keeps an image in the training split.
_HASH_IN_TRAINING = 50.0


class ImageFolders(NamedTuple):
    """The image files in two folders with the same classes.

    Attributes:
        dataset: Image files of --train_dir as the training split, and of --val_dir as the
            validation split.
        names_digest: Hash of the names of all classes and files.
    """

    dataset: Dataset
    names_digest: str


def scan(train_dir: Path, val_dir: Path) -> ImageFolders:
    """Lists the classes and images in two folders, and warns about ignored files.

    Raises:
        UserError: If a folder cannot be read, or if the folders have different classes.
    """
    roots = {TRAIN_FLAG: train_dir, VAL_FLAG: val_dir}
    listings = list_images(roots)
    # Before the checks: ignored files can be the reason why there are too few images.
    report_ignored(list(listings.values()))
    for flag, listing in listings.items():
        _check_classes(flag, roots[flag], listing)
    _check_same_classes(roots, listings)
    folders = tuple(listings[TRAIN_FLAG].images)
    images: list[ImageFile] = []
    for class_id, folder in enumerate(folders):
        images += (
            ImageFile(train_dir / folder / file, class_id, TRAINING, _HASH_IN_TRAINING)
            for file in listings[TRAIN_FLAG].images[folder]
        )
        images += (
            ImageFile(val_dir / folder / file, class_id, VALIDATION, None)
            for file in listings[VAL_FLAG].images[folder]
        )
    dataset = Dataset(
        image_dir=train_dir,
        labels=make_labels(folders),
        folders=folders,
        images=tuple(images),
        percentages=SplitPercentages(validation=0, test=0),
        flag=TRAIN_FLAG,
    )
    return ImageFolders(dataset, _names_digest(listings))


def _check_classes(flag: str, root: Path, listing: Listing) -> None:
    if len(listing.images) >= 2:
        return
    found = ", ".join(listing.images) or "none"
    outside = listing.outside_classes
    if outside:
        found += f"; {outside:,} {'image is' if outside == 1 else 'images are'} directly in it"
    raise UserError(
        f"--{flag}={root} must have a sub-folder of images for each of two or more classes, but "
        f"has: {found}{explain_missing_images(listing)}"
    )


def _check_same_classes(roots: Mapping[str, Path], listings: Mapping[str, Listing]) -> None:
    for flag, other in ((TRAIN_FLAG, VAL_FLAG), (VAL_FLAG, TRAIN_FLAG)):
        missing = [name for name in listings[other].images if name not in listings[flag].images]
        if missing:
            raise UserError(
                f"--{flag}={roots[flag]} has no images of {name_some(missing)}, but "
                f"--{other}={roots[other]} has; both need the same sub-folders"
                f"{explain_missing_images(listings[flag])}"
            )


def _names_digest(listings: Mapping[str, Listing]) -> str:
    # `run.json` holds the digest, so this text must stay the same in later versions.
    names = [
        {folder: list(files) for folder, files in listings[flag].images.items()}
        for flag in (TRAIN_FLAG, VAL_FLAG)
    ]
    return hashlib.sha256(repr(names).encode()).hexdigest()


def load(folders: ImageFolders, shape: ImageShape, *, fit: str = STRETCH) -> TrainingData:
    """Decodes all images. Warns about unreadable images, which it leaves out, and duplicates.

    Args:
        folders: The image files.
        shape: Shape of the decoded images.
        fit: See `retrain.data.pixels.decode`.

    Raises:
        UserError: If no image of a class can be read, or if the disk is full.
    """
    dataset = folders.dataset
    images_and_digests: list[tuple[ImageFile, bytes]] = []
    train = _decode_split(dataset, TRAINING, shape, images_and_digests, fit=fit)
    validation = _decode_split(dataset, VALIDATION, shape, images_and_digests, fit=fit)
    warn_of_duplicates(images_and_digests)
    preview = train.sample(PREVIEW_SIZE)
    return TrainingData(dataset.labels, dataset.folders, train, validation, preview)


def decode_preview(
    images: Sequence[ImageFile], shape: ImageShape, *, fit: str = STRETCH
) -> Examples:
    """Decodes a sample of the images for plots.

    Args:
        images: Image files that were readable before.
        shape: Shape of the decoded images.
        fit: See `retrain.data.pixels.decode`.
    """
    class_ids = np.array([image.class_id for image in images], np.int64)
    sample = Examples(np.arange(len(images)), class_ids).sample(PREVIEW_SIZE)
    decoded = [_decode(images[row], shape, fit=fit) for row in sample.inputs]
    # A file can become unreadable after its bottleneck was computed.
    readable = [i for i, image in enumerate(decoded) if isinstance(image, _DecodedImage)]
    inputs = np.array([image.pixels for image in decoded if isinstance(image, _DecodedImage)])
    return Examples(inputs.reshape(-1, *shape), sample.class_ids[readable])


class _DecodedImage(NamedTuple):
    """A decoded image.

    Attributes:
        pixels: uint8 [height, width, channels].
        digest: SHA-256 of the file.
    """

    pixels: np.ndarray
    digest: bytes


def _decode_split(
    dataset: Dataset,
    split: str,
    shape: ImageShape,
    images_and_digests: list[tuple[ImageFile, bytes]],
    *,
    fit: str,
) -> Examples:
    """Decodes the images of a split, and appends each with its digest to `images_and_digests`."""
    images = dataset.split(split)
    inputs = allocate_images(len(images), shape)
    class_ids: list[int] = []
    for image, decoded in zip(images, _decode_all(images, shape, fit=fit), strict=True):
        if isinstance(decoded, UnreadableImageError):
            logging.warning("Skipped %s: %s.", image.path, decoded)
            continue
        inputs[len(class_ids)] = decoded.pixels
        class_ids.append(image.class_id)
        images_and_digests.append((image, decoded.digest))
    missing = sorted(set(range(len(dataset.folders))) - set(class_ids))
    if missing:
        raise UserError(
            f"no image of {dataset.folders[missing[0]]} in --{_FLAGS[split]} can be read, see the "
            "warnings above; repair the images, or remove the sub-folder from both folders"
        )
    return Examples(inputs[: len(class_ids)], np.array(class_ids, np.int64))


def _decode_all(
    images: Sequence[ImageFile], shape: ImageShape, *, fit: str
) -> Iterator[_DecodedImage | UnreadableImageError]:
    decode = functools.partial(_decode, shape=shape, fit=fit)
    with ProgressBar(len(images), "Decoding") as progress:
        for decoded in parallel_map(decode, images, processor_count()):
            progress.add(1)
            yield decoded


def _decode(
    image: ImageFile, shape: ImageShape, *, fit: str
) -> _DecodedImage | UnreadableImageError:
    try:
        content = image_reader.read(image.path)
        rgb = pixels.decode(content, shape.height, shape.width, fit=fit)
    except UnreadableImageError as error:
        return error
    except OSError as error:
        return UnreadableImageError(f"it cannot be read ({error.strerror})")
    return _DecodedImage(convert_channels(rgb, shape.channels), hashlib.sha256(content).digest())


def convert_channels(rgb: np.ndarray, channels: int) -> np.ndarray:
    """Converts RGB pixels, uint8 [height, width, 3], to uint8 [height, width, channels].

    Args:
        rgb: The pixels.
        channels: 1 for grey, 3 to return the pixels unchanged.
    """
    if channels == 3:
        return rgb
    # Pillow's conversion to grey is the usual one, ITU-R 601-2.
    return np.asarray(Image.fromarray(rgb).convert("L"))[..., np.newaxis]
