"""Checks the folders of a data set, and reports what is not used."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from retrain.data import file_kinds
from retrain.data.listing import Listing
from retrain.errors import UserError
from retrain.system.text import name_some

# Minimum number of images in a class: one for each split.
MIN_IMAGES = 3
# Smaller classes cause a warning.
FEW_IMAGES = 20

_SPLIT_NAMES = ("train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval")


def check_classes(image_dir: Path, listing: Listing) -> None:
    """Checks that the image folder has at least two classes, and enough images in each.

    Raises:
        UserError: If there are too few classes or images.
    """
    flag = f"--image_dir={image_dir}"
    expected = "each class needs a sub-folder with its images"
    if listing.outside_classes:
        expected += f" ({listing.outside_classes:,} images are directly in the folder)"
    if not listing.images:
        only = ""
        if listing.ignored and not listing.outside_classes:
            only = f", only {_counts_by_kind(listing.ignored)}"
        extensions = ", ".join(file_kinds.EXTENSIONS)
        raise UserError(
            f"{flag} has no sub-folder with images ({extensions}){only}; {expected}"
            f"{explain_missing_images(listing)}"
        )
    names = list(listing.images)
    nested = all("/" in file for files in listing.images.values() for file in files)
    if nested and len(names) > 1 and all(name.lower() in _SPLIT_NAMES for name in names):
        raise UserError(
            f"{flag} is already split into {name_some(names)}; use the training folder as "
            "--image_dir and the others as --validation_dir and --test_dir"
        )
    if len(names) == 1:
        hint = f"; if its sub-folders are the classes, use --image_dir={image_dir / names[0]}"
        raise UserError(
            f"{flag} has only one class with images, {names[0]}, but needs at least two; "
            f"{expected}{hint if nested else ''}{explain_missing_images(listing)}"
        )
    small = [name for name, files in listing.images.items() if len(files) < MIN_IMAGES]
    if small:
        raise UserError(
            f"{flag} has fewer than {MIN_IMAGES} images in: {_name_with_counts(small, listing)}; "
            f"add images to these folders, or remove them{explain_missing_images(listing)}"
        )


def check_split_folder(flag: str, root: Path, listing: Listing, *, classes: Sequence[str]) -> None:
    """Checks that a folder of validation or test images has classes of the image folder.

    Args:
        flag: Name of the flag, "validation_dir" or "test_dir".
        root: The folder.
        listing: Content of the folder.
        classes: Names of the class folders in the image folder.

    Raises:
        UserError: If the folder has other classes, or no images.
    """
    unknown = [name for name in listing.images if name not in classes]
    if unknown:
        raise UserError(
            f"--{flag}={root} has classes that --image_dir does not have: {name_some(unknown)}; "
            f"use the folder names of --image_dir: {name_some(classes)}"
        )
    if not listing.images:
        raise UserError(
            f"--{flag}={root} has no images in sub-folders that are named like those of "
            f"--image_dir: {name_some(classes)}; add images, or omit the flag"
            f"{explain_missing_images(listing)}"
        )


def explain_missing_images(listing: Listing) -> str:
    """Returns the end of an error message: why images or classes in the folder are not used.

    It begins with a semicolon, or is empty if there is no reason.
    """
    reasons = []
    if listing.misnamed:
        reasons.append(file_kinds.describe_misnamed(listing.misnamed, len(listing.misnamed)))
    if listing.special_files:
        reasons.append(f"not used, because files are expected: {name_some(listing.special_files)}")
    possible_classes = _possible_classes(listing)
    if possible_classes:
        reasons.append(
            "not used, because NAS devices and operating systems give such names to their own "
            f"folders: {name_some(possible_classes)}; rename a folder if it is a class"
        )
    return "".join(f"; {reason}" for reason in reasons)


def warn_of_small_classes(listing: Listing) -> None:
    """Warns if classes have too few images to expect a good accuracy."""
    small = [name for name, files in listing.images.items() if len(files) < FEW_IMAGES]
    if small:
        logging.warning(
            "Classes with fewer than %d images limit the accuracy: %s.",
            FEW_IMAGES,
            _name_with_counts(small, listing),
        )


def report_ignored(listings: Sequence[Listing]) -> None:
    """Logs the files and folders that are not used, and why."""
    ignored = sum((listing.ignored for listing in listings), Counter[str]())
    unsupported = Counter(
        {kind: ignored.pop(kind) for kind in file_kinds.UNSUPPORTED_SUFFIXES if kind in ignored}
    )
    if unsupported:
        logging.warning(
            "Ignored images in formats that this program cannot read: %s. Convert them to JPEG or "
            "PNG to use them.",
            _counts_by_kind(unsupported),
        )
    if ignored:
        files = _count(ignored.total(), "file that is not an image", "files that are not images")
        logging.info("Ignored %s: %s.", files, _counts_by_kind(ignored))
    misnamed = [name for listing in listings for name in listing.misnamed]
    if misnamed:
        logging.warning("%s.", file_kinds.describe_misnamed(misnamed, len(misnamed)))
    special = [name for listing in listings for name in listing.special_files]
    if special:
        logging.warning("Ignored pipes, sockets, devices and broken links: %s.", name_some(special))
    _report_system_folders(listings)
    outside = sum(listing.outside_classes for listing in listings)
    if outside:
        images = _count(outside, "image that is", "images that are")
        logging.warning("Ignored %s not in the folder of a class.", images)
    duplicates = [name for listing in listings for name in listing.duplicate_links]
    if duplicates:
        logging.warning("Ignored links to images that are used already: %s.", name_some(duplicates))
    empty = [name for listing in listings for name in listing.empty_folders]
    if empty:
        logging.warning("Ignored folders without images: %s.", name_some(empty))


def _report_system_folders(listings: Sequence[Listing]) -> None:
    names = [name for listing in listings for name in listing.system_folders]
    if not names:
        return
    possible_classes = [name for listing in listings for name in _possible_classes(listing)]
    advice = f" Rename a folder if it is a class: {name_some(possible_classes)}."
    logging.log(
        logging.WARNING if possible_classes else logging.INFO,
        "Ignored %s of NAS devices or operating systems: %s.%s",
        _count(len(names), "folder", "folders"),
        name_some(names),
        advice if possible_classes else "",
    )


def _possible_classes(listing: Listing) -> list[str]:
    """Returns the folders of systems that would be classes if they had other names."""
    return [name for name in listing.system_folders if "/" not in name]


def _name_with_counts(names: Iterable[str], listing: Listing) -> str:
    return name_some(f"{name} ({len(listing.images[name])})" for name in names)


def _counts_by_kind(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return name_some(f"{count} {kind}" for kind, count in ordered)


def _count(count: int, singular: str, plural: str) -> str:
    return f"{count:,} {singular if count == 1 else plural}"
