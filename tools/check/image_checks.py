"""Finds problems of single images: files, sizes and pixels."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from retrain.data.file_kinds import EXTENSIONS_OF_FORMAT
from retrain.data_check.findings import Finding
from retrain.data_check.image_facts import FORMATS

# Shorter sides, in pixels, are enlarged at least sevenfold for most networks.
_TINY = 32
# Multiple of the median number of pixels from which an image is much larger than the others.
_HUGE_RATIO = 100
_MAX_ASPECT = 3.0
# Levels of luminance, 0 to 255.
_BLANK_CONTRAST = 8
_DARK_LEVEL = 50
# Change from one pixel to the next as a share of the contrast: an edge that is 9 pixels wide in an
# image of 224 pixels. The least sharp of 1,100 photos of hands, pets and film heroes has 0.16.
_BLURRED_SHARPNESS = 0.11


def find_unreadable(problems: Mapping[int, str]) -> Iterator[Finding]:
    """Yields the images that cannot be read or decoded.

    Args:
        problems: Reason for each image, by its index.
    """
    for index, problem in sorted(problems.items()):
        kind = "truncated" if "truncated" in problem else "unreadable"
        yield Finding(kind, (index,), problem)


def find_in_pixels(
    paths: Sequence[Path], facts: np.ndarray, readable: Sequence[int]
) -> Iterator[Finding]:
    """Yields what is wrong with single images.

    Args:
        paths: Path of each image.
        facts: `image_facts.FACTS` of each image.
        readable: Indices of the images that could be decoded.
    """
    if not len(readable):
        return
    sizes = facts["width"][readable].astype(np.int64) * facts["height"][readable]
    huge = _HUGE_RATIO * float(np.median(sizes))
    for index in readable:
        image = facts[index]
        width, height = int(image["width"]), int(image["height"])
        size = f"{width} x {height} pixels"
        contrast = int(image["brightest"]) - int(image["darkest"])
        if contrast <= _BLANK_CONTRAST:
            yield Finding("blank", (index,), "a single colour", contrast)
        elif image["light_level"] < _DARK_LEVEL:
            level = int(image["light_level"])
            detail = f"99 % of the pixels are at most {100 * level / 255:.0f} % bright"
            yield Finding("dark", (index,), detail, level)
        elif image["sharpness"] < _BLURRED_SHARPNESS:
            sharpness = float(image["sharpness"])
            detail = f"the sharpest edges are about {1 / max(sharpness, 0.01):.0f} pixels wide"
            yield Finding("blurred", (index,), detail, round(sharpness, 4))
        if min(width, height) < _TINY:
            yield Finding("tiny", (index,), size, min(width, height))
        if width * height > huge:
            yield Finding("huge", (index,), size, -width * height)
        aspect = max(width, height) / max(min(width, height), 1)
        if aspect > _MAX_ASPECT:
            yield Finding("odd_aspect", (index,), size, -round(aspect, 2))
        if image["animated"]:
            yield Finding("animated", (index,), FORMATS[image["format"]])
        suffix = paths[index].suffix.lower()
        name = FORMATS[image["format"]] if image["format"] < len(FORMATS) else ""
        if suffix[1:] not in EXTENSIONS_OF_FORMAT.get(name, (suffix[1:],)):
            yield Finding("wrong_extension", (index,), f"{suffix}, but a {name} file")
