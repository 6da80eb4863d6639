"""Assigns images to the training, validation and test splits.

A hash of its name gives each image a number from 0 to 100, which determines the split. Images
therefore stay in their split when others are added or the folder moves. The formula is that of
TensorFlow's `retrain.py`.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from retrain.config import FOLDER, PREFIX, SplitOptions
from retrain.errors import UserError

TRAINING = "training"
VALIDATION = "validation"
TEST = "test"

_LARGEST_REMAINDER = 2**27 - 1
# A group with more than twice the images that a split should have is not put into that split.
_MAX_EXCESS = 2

# The part of a file name before the last separator, without the extension.
_PREFIX = re.compile(r"(.*[^ _.()-])[ _.()-]+[^ _.()-]+[ )]*\.[^.]*$")


@dataclass(frozen=True)
class SplitPercentages:
    """The sizes of two splits in percent. All other images are in the training split.

    Attributes:
        validation: Percentage of images in the validation split, 0 to 100.
        test: Percentage of images in the test split, 0 to 100.
    """

    validation: float
    test: float

    @classmethod
    def from_options(cls, options: SplitOptions) -> "SplitPercentages":
        """Returns the percentages for --image_dir. A split that has its own folder gets 0."""
        return cls(
            validation=0 if options.validation_dir else options.validation_percentage,
            test=0 if options.test_dir else options.testing_percentage,
        )

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The half-open range of percentage hashes of each split that is not empty."""
        end = self.validation + self.test
        ranges = {
            VALIDATION: (0.0, self.validation),
            TEST: (self.validation, end),
            TRAINING: (end, 100.0),
        }
        return {split: (low, high) for split, (low, high) in ranges.items() if low < high}

    def split_at(self, percentage_hash: float) -> str:
        """Returns the split of an image with this percentage hash."""
        if percentage_hash < self.validation:
            return VALIDATION
        if percentage_hash < self.test + self.validation:
            return TEST
        return TRAINING


def check_options(options: SplitOptions) -> None:
    """Checks the percentages.

    Raises:
        UserError: If a percentage is invalid, or the training split would be empty.
    """
    for flag in ("validation_percentage", "testing_percentage"):
        value = getattr(options, flag)
        if not 0 <= value <= 100:
            raise UserError(f"--{flag}={value} must be from 0 to 100; the default is 10")
    percentages = SplitPercentages.from_options(options)
    if options.split_by == "path" and options.group_by in (FOLDER, PREFIX):
        raise UserError(
            f"--group_by={options.group_by} cannot be combined with --split_by=path, which hashes "
            "the whole path of each image; leave one out"
        )
    if percentages.validation + percentages.test >= 100:
        raise UserError(
            f"--validation_percentage={options.validation_percentage} and "
            f"--testing_percentage={options.testing_percentage} leave no images for training; "
            "their sum must be less than 100; the default is 10 each"
        )


def compute_percentage_hash(options: SplitOptions, folder: str, file: str) -> float:
    """Hashes the name of an image to a number from 0 to 100.

    Text from `_nohash_` on is ignored. Names that differ only there mark photos of the same
    object, which must not be in two splits. So do names with the same prefix or folder, if the
    images are grouped by these.

    Args:
        options: Kind of hash, groups, and the image folder as the user typed it.
        folder: Name of the class folder.
        file: Path relative to the class folder, with `/` as separator.
    """
    if options.split_by == "path":
        return _hash(
            re.sub("_nohash_.*$", "", os.path.join(options.typed_image_dir, folder, file))  # noqa: PTH118 (exactly the text that retrain.py hashes)
        )
    parent, slash, name = file.rpartition("/")
    text = f"{folder}/{parent}{slash}{name.partition('_nohash_')[0]}"
    if options.group_by == FOLDER and parent:
        # Without the class: what one sub-folder has in common, it can have in several classes.
        text = f"{parent}/"
    elif options.group_by == PREFIX:
        prefix = _PREFIX.match(name)
        text = f"{parent}{slash}{prefix[1]}" if prefix else text
    return _hash(unicodedata.normalize("NFC", text))  # macOS stores "é" as two characters.


def _hash(text: str) -> float:
    """Returns a number from 0 to 100."""
    digest = hashlib.sha1(os.fsencode(text), usedforsecurity=False).digest()
    remainder = int.from_bytes(digest, "big") % (_LARGEST_REMAINDER + 1)
    return remainder * (100.0 / _LARGEST_REMAINDER)


def assign_splits(hashes: Sequence[float], percentages: SplitPercentages) -> list[str]:
    """Assigns the images of one class to splits, so that no split with a percentage is empty.

    The percentage hashes decide. A group of images, which have the same hash, is for training if it
    would make another split far too large. In a small class, splits can be left empty. In the order
    validation, test, training, each empty split then gets all images with the hash that is nearest
    to its range. They are taken from the largest split that has several hashes, and are at most
    half of it. If no split has several hashes, so that all images show the same object, a single
    image is taken.

    Args:
        hashes: Percentage hashes of at least three images, in a fixed order.
        percentages: Sizes of the splits.
    """
    counts = Counter(hashes)
    assigned = [
        _split_of_group(percentage_hash, counts[percentage_hash] / len(hashes), percentages)
        if counts[percentage_hash] > 1
        else percentages.split_at(percentage_hash)
        for percentage_hash in hashes
    ]
    for split, (low, high) in percentages.ranges.items():
        if split not in assigned:
            for index in _nearest_images(low, high, hashes, assigned):
                assigned[index] = split
    return assigned


def _split_of_group(percentage_hash: float, share: float, percentages: SplitPercentages) -> str:
    """Returns the split of a group of images: training, if another split would become too large."""
    split = percentages.split_at(percentage_hash)
    low, high = percentages.ranges[split]
    is_too_large = 100 * share > _MAX_EXCESS * (high - low)
    return TRAINING if is_too_large else split


def _nearest_images(
    low: float, high: float, hashes: Sequence[float], assigned: Sequence[str]
) -> list[int]:
    """Returns the indices of the images to move to the split with the range `low` to `high`."""
    by_size = sorted(
        (TRAINING, VALIDATION, TEST), key=lambda split: (-assigned.count(split), split)
    )
    for donor in by_size:
        groups: dict[float, list[int]] = defaultdict(list)
        for index, split in enumerate(assigned):
            if split == donor:
                groups[hashes[index]].append(index)
        if len(groups) > 1:
            half = assigned.count(donor) / 2
            movable = [value for value, group in groups.items() if len(group) <= half]
            return groups[min(movable, key=lambda value: (max(low - value, value - high), value))]
    return [index for index, split in enumerate(assigned) if split == by_size[0]][-1:]
