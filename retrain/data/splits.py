"""Which part of the data an image belongs to: training, validation or test.

An image's place between 0 and 100 comes from a hash of its name, so it stays in its part when
other images are added, and when the folder moves. The formula is the original's.
"""

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from retrain.config import SplitOptions
from retrain.errors import UserError

TRAINING = "training"
VALIDATION = "validation"
TEST = "test"

_LARGEST_REMAINDER = 2**27 - 1


def shares_of(options: SplitOptions) -> "Shares":
    """Returns the percentages of the image folder's images that each part is to get."""
    return Shares(
        0 if options.validation_dir else options.validation_percentage,
        0 if options.test_dir else options.testing_percentage,
    )


@dataclass(frozen=True)
class Shares:
    """The percentages that two of the parts get; training gets the rest."""

    validation: float
    test: float

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The places that each part takes, from the first number up to, not including, the second.

        A part that gets nothing is missing.
        """
        end = self.validation + self.test
        ranges = {
            VALIDATION: (0.0, self.validation),
            TEST: (self.validation, end),
            TRAINING: (end, 100.0),
        }
        return {part: (low, high) for part, (low, high) in ranges.items() if low < high}


def check_options(options: SplitOptions) -> None:
    """Raises UserError where the percentages are impossible or leave no training part."""
    for flag in ("validation_percentage", "testing_percentage"):
        value = getattr(options, flag)
        if not 0 <= value <= 100:
            raise UserError(f"--{flag} must be from 0 to 100, not {value}; 10 is usual")
    shares = shares_of(options)
    if shares.validation + shares.test >= 100:
        raise UserError(
            f"--validation_percentage={options.validation_percentage} and "
            f"--testing_percentage={options.testing_percentage} leave no images to train on; "
            "their sum must be less than 100, 10 and 10 are usual"
        )


def place(options: SplitOptions, folder: str, file: str) -> float:
    """Returns where between 0 and 100 an image stands; its share of the range decides its part.

    Names that differ only after `_nohash_` stand in one place: they are images of one thing, and
    a network tested on one of them should not have learned from another.

    Args:
        options: of the split.
        folder: name of the class's folder.
        file: path below that folder, with `/` between its parts.
    """
    if options.split_by == "path":
        return _hash(
            re.sub("_nohash_.*$", "", os.path.join(options.typed_image_dir, folder, file))  # noqa: PTH118 (the original's text to the letter)
        )
    inner, slash, name = file.rpartition("/")
    text = f"{folder}/{inner}{slash}{name.partition('_nohash_')[0]}"
    return _hash(unicodedata.normalize("NFC", text))  # macOS writes "é" as two characters.


def _hash(text: str) -> float:
    digest = hashlib.sha1(os.fsencode(text), usedforsecurity=False).digest()
    remainder = int.from_bytes(digest, "big") % (_LARGEST_REMAINDER + 1)
    return remainder * (100.0 / _LARGEST_REMAINDER)


def assign(places: Sequence[float], shares: Shares) -> list[str]:
    """Returns the part of each image of one class, with none of the parts left empty.

    The place decides, as in the original. In a small class that can leave a part without
    images; then, in the order validation, test, training, each such part gets the images of
    the place that is nearest to its range, from the largest part that stands in several places;
    no more than half of that part. Only where every part stands in a single place, so that all
    images there are of one thing, is one of them taken from the others.

    Args:
        places: from `place`, in a fixed order; at least 3.
        shares: of the parts.
    """
    parts = [_part(place, shares) for place in places]
    for part, (low, high) in shares.ranges.items():
        if part not in parts:
            for index in _nearest(low, high, places, parts):
                parts[index] = part
    return parts


def _part(place: float, shares: Shares) -> str:
    if place < shares.validation:
        return VALIDATION
    if place < shares.test + shares.validation:
        return TEST
    return TRAINING


def _nearest(low: float, high: float, places: Sequence[float], parts: Sequence[str]) -> list[int]:
    """Returns the indices of the images to move to the part from `low` to `high`."""
    donors = sorted({TRAINING, VALIDATION, TEST}, key=lambda part: (-parts.count(part), part))
    for donor in donors:
        groups: dict[float, list[int]] = defaultdict(list)
        for index, part in enumerate(parts):
            if part == donor:
                groups[places[index]].append(index)
        if len(groups) > 1:
            half = parts.count(donor) / 2
            movable = [place for place, group in groups.items() if len(group) <= half]
            return groups[min(movable, key=lambda place: (max(low - place, place - high), place))]
    return [index for index, part in enumerate(parts) if part == donors[0]][-1:]
