"""Reads folders of images into a data set: labels, and images with their splits."""

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retrain.config import SplitOptions
from retrain.data import folder_checks, folders, splits
from retrain.data.folder_checks import MIN_IMAGES
from retrain.data.group_summary import GroupSummary
from retrain.data.labels import make_labels
from retrain.data.listing import Listing
from retrain.data.splits import TEST, TRAINING, VALIDATION, SplitPercentages
from retrain.errors import UserError
from retrain.system.text import name_some

_SPLITS = (TRAINING, VALIDATION, TEST)
_SPLIT_OF_FLAG = {"validation_dir": VALIDATION, "test_dir": TEST}


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file of a data set.

    Attributes:
        path: Absolute path of the file.
        class_id: Index of its label in `Dataset.labels`.
        split: TRAINING, VALIDATION or TEST.
        percentage_hash: Number from 0 to 100 that determines the split; see
            `splits.compute_percentage_hash`. None for files in --validation_dir or --test_dir.
    """

    path: Path
    class_id: int
    split: str
    percentage_hash: float | None


@dataclass(frozen=True)
class Dataset:
    """Labelled images for training, validation and test.

    Attributes:
        image_dir: Folder that contains the class folders.
        labels: Unique single-line labels of the classes.
        folders: Name of the folder of each class.
        images: Images ordered by class, then by the flag of their folder, then by name.
        percentages: Sizes of the splits of `image_dir`.
        flag: Name of the flag for `image_dir`, for messages.
        grouping: Summary of the groups of images that are in one split; None if there are none
            besides those that the names mark.
    """

    image_dir: Path
    labels: tuple[str, ...]
    folders: tuple[str, ...]
    images: tuple[ImageFile, ...]
    percentages: SplitPercentages
    flag: str = "image_dir"
    grouping: GroupSummary | None = None

    def split(self, split: str) -> tuple[ImageFile, ...]:
        """Returns the images of a split: TRAINING, VALIDATION or TEST."""
        return tuple(image for image in self.images if image.split == split)

    def describe(self) -> str:
        """Returns a line with the numbers of images and classes."""
        counts = ", ".join(f"{len(self.split(split))} for {split}" for split in _SPLITS)
        return f"{len(self.images)} images in {len(self.labels)} classes: {counts}."

    def hash_name(self, image: ImageFile, options: SplitOptions) -> float:
        """Returns the percentage hash of an image's name, whatever group the image is in.

        Args:
            image: An image in `image_dir`.
            options: Kind of hash; see `splits.compute_percentage_hash`.
        """
        folder = self.folders[image.class_id]
        file = image.path.relative_to(self.image_dir / folder).as_posix()
        return splits.compute_percentage_hash(options, folder, file)

    def without(self, unreadable: Collection[Path]) -> "Dataset":
        """Returns the data set that a scan would find if the files `unreadable` did not exist.

        The images are split again, so that no split of a class is left empty. Some images of small
        classes can move to another split. The labels and their order stay the same.

        Raises:
            UserError: If a class is left with too few images.
        """
        removed = set(unreadable)
        images = tuple(image for image in self.images if image.path not in removed)
        before = _count_images_to_split(self.images)
        after = _count_images_to_split(images)
        small = [index for index in range(len(self.labels)) if after[index] < MIN_IMAGES]
        if small:
            names = name_some(
                f"{self.folders[index]} ({after[index]} of {before[index]}, "
                f"{before[index] - after[index]} unreadable)"
                for index in small
            )
            raise UserError(
                f"--{self.flag}={self.image_dir} has fewer than {MIN_IMAGES} readable images in: "
                f"{names}; add or repair images there, or remove the folder"
            )
        dataset = assign_splits(replace(self, images=images))
        with_own_folder = {image.split for image in self.images if image.percentage_hash is None}
        _warn_of_missing_classes(
            _missing_classes(dataset, with_own_folder) - _missing_classes(self, with_own_folder)
        )
        return dataset


def scan_dataset(image_dir: Path, options: SplitOptions) -> Dataset:
    """Finds the images of each class and assigns them to splits.

    Each sub-folder of `image_dir` that contains images, at any depth, is a class. Files that do
    not have the extension of an image are ignored. Ignored files and small classes are logged.

    Args:
        image_dir: Folder that contains the class folders.
        options: How to split the images.

    Raises:
        UserError: If there are too few classes or images, a folder cannot be read, or an option is
            invalid.
    """
    splits.check_options(options)
    split_dirs = split_folders(options)
    listings = folders.list_images({"image_dir": image_dir, **split_dirs})
    main_listing = listings.pop("image_dir")
    # Before the checks: ignored files can be the reason why there are too few images.
    folder_checks.report_ignored([main_listing, *listings.values()])
    folder_checks.check_classes(image_dir, main_listing)
    classes = tuple(main_listing.images)
    for flag, listing in listings.items():
        folder_checks.check_split_folder(flag, split_dirs[flag], listing, classes=classes)
    folder_checks.warn_of_small_classes(main_listing)
    dataset = build_dataset(image_dir, main_listing, options, listings)
    _warn_of_missing_classes(
        _missing_classes(dataset, {_SPLIT_OF_FLAG[flag] for flag in split_dirs})
    )
    return dataset


def build_dataset(
    image_dir: Path,
    listing: Listing,
    options: SplitOptions,
    split_listings: Mapping[str, Listing],
) -> Dataset:
    """Assigns labels and splits to listed images. Does not check that there are enough of them.

    Args:
        image_dir: Folder that contains the class folders.
        listing: Content of `image_dir`.
        options: How to split the images.
        split_listings: Content of the folders of "validation_dir" and "test_dir".
    """
    classes, split_dirs = tuple(listing.images), split_folders(options)
    images = (
        ImageFile(
            image_dir / folder / file,
            class_id,
            TRAINING,
            splits.compute_percentage_hash(options, folder, file),
        )
        for class_id, folder in enumerate(classes)
        for file in listing.images[folder]
    )
    images_with_split = (
        ImageFile(split_dirs[flag] / folder / file, class_id, _SPLIT_OF_FLAG[flag], None)
        for flag, split_listing in split_listings.items()
        for class_id, folder in enumerate(classes)
        for file in split_listing.images.get(folder, [])
    )
    return assign_splits(
        Dataset(
            image_dir=image_dir,
            labels=make_labels(classes),
            folders=classes,
            # Sorting keeps the order of the flags and of the names.
            images=tuple(sorted((*images, *images_with_split), key=lambda image: image.class_id)),
            percentages=SplitPercentages.from_options(options),
        )
    )


def split_folders(options: SplitOptions) -> dict[str, Path]:
    """Returns the folders of single splits, by the name of their flag."""
    folders_of_flags = {"validation_dir": options.validation_dir, "test_dir": options.test_dir}
    return {flag: folder for flag, folder in folders_of_flags.items() if folder}


def assign_splits(dataset: Dataset) -> Dataset:
    """Assigns splits to all images that have a percentage hash."""
    hashes_of_class: dict[int, dict[int, float]] = defaultdict(dict)  # By the index of the image.
    for index, image in enumerate(dataset.images):
        if image.percentage_hash is not None:
            hashes_of_class[image.class_id][index] = image.percentage_hash
    images = list(dataset.images)
    for hashes in hashes_of_class.values():
        assigned = splits.assign_splits(list(hashes.values()), dataset.percentages)
        for index, split in zip(hashes, assigned, strict=True):
            images[index] = replace(images[index], split=split)
    return replace(dataset, images=_reunite(images))


def _reunite(images: Sequence[ImageFile]) -> tuple[ImageFile, ...]:
    """Puts groups of images of several classes into one split, if a small class moved its images.

    This is the training split if one of them is in there. So no class loses training images.
    """
    groups: dict[float | None, list[ImageFile]] = defaultdict(list)
    for image in images:
        groups[image.percentage_hash].append(image)
    groups.pop(None, None)
    common = {
        percentage_hash: min((image.split for image in group), key=_SPLITS.index)
        for percentage_hash, group in groups.items()
        if len({image.class_id for image in group}) > 1
    }
    return tuple(
        replace(image, split=common[image.percentage_hash])
        if image.percentage_hash in common
        else image
        for image in images
    )


def _count_images_to_split(images: Iterable[ImageFile]) -> Counter[int]:
    """Counts the images of each class that are not in --validation_dir or --test_dir."""
    return Counter(image.class_id for image in images if image.percentage_hash is not None)


def _missing_classes(dataset: Dataset, split_names: Collection[str]) -> set[tuple[str, str]]:
    """Returns the classes that are missing in the given splits, as (split, folder)."""
    present = {(image.split, dataset.folders[image.class_id]) for image in dataset.images}
    return {(split, folder) for split in split_names for folder in dataset.folders} - present


def _warn_of_missing_classes(missing: Collection[tuple[str, str]]) -> None:
    for split in (VALIDATION, TEST):
        classes = sorted(folder for name, folder in missing if name == split)
        if classes:
            logging.warning("The %s split has no images of: %s.", split, name_some(classes))
