"""Folders of images to labels, images and their split."""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retrain.config import SplitOptions
from retrain.data import folders, splits
from retrain.data.folders import Listing
from retrain.data.labels import labels_of
from retrain.data.splits import TEST, TRAINING, VALIDATION, Shares
from retrain.errors import UserError
from retrain.system.text import name_some

_SPLITS = {"validation_dir": VALIDATION, "test_dir": TEST}
_FEWEST_IMAGES = 3  # One for each part.
_FEW_IMAGES = 20

# Images that people have, and that they would miss.
_UNSUPPORTED = (".tif", ".tiff", ".jfif", ".jxl", ".svg", ".psd", ".dng")
_PARTS = {"train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval"}


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file, and what it is for.

    Attributes:
        path: of the file, absolute.
        class_id: index of its label in `Dataset.labels`.
        split: TRAINING, VALIDATION or TEST.
        place: what `splits.place` gave; None where a folder of the user's decides the split.
    """

    path: Path
    class_id: int
    split: str
    place: float | None


@dataclass(frozen=True)
class Dataset:
    """The images to learn from, and to be tested on.

    Attributes:
        image_dir: the folder that holds the classes' folders.
        labels: names of the classes as programs show them, each unique and one line.
        folders: name of the folder of each class.
        images: ordered by class, then by part given as a folder, then by name.
        shares: by which the images of `image_dir` are split.
        flag: that named `image_dir`.
    """

    image_dir: Path
    labels: tuple[str, ...]
    folders: tuple[str, ...]
    images: tuple[ImageFile, ...]
    shares: Shares
    flag: str = "image_dir"

    def split(self, split: str) -> tuple[ImageFile, ...]:
        """Returns the images of one part: TRAINING, VALIDATION or TEST."""
        return tuple(image for image in self.images if image.split == split)

    def without(self, unreadable: Collection[Path]) -> "Dataset":
        """Returns the data set as it would be if the files `unreadable` did not exist.

        All images are split anew, so that no part of a class is left empty: some images of
        small classes can change their part. Labels stay, also their order.

        Raises:
            UserError: a class is left with too few images.
        """
        lost = set(unreadable)
        rest = tuple(image for image in self.images if image.path not in lost)
        before = _counts_to_split(self.images)
        after = _counts_to_split(rest)
        few = [index for index in range(len(self.labels)) if after[index] < _FEWEST_IMAGES]
        if few:
            names = name_some(
                f"{self.folders[index]} ({after[index]} of {before[index]}, "
                f"{before[index] - after[index]} unreadable)"
                for index in few
            )
            raise UserError(
                f"--{self.flag}={self.image_dir} has fewer than {_FEWEST_IMAGES} readable "
                f"images in: {names}; add or mend images there, or remove the folder"
            )
        dataset = _split_anew(replace(self, images=rest))
        given = {image.split for image in self.images if image.place is None}
        _warn_of_empty(_empty(dataset, given) - _empty(self, given))
        return dataset


def scan_dataset(image_dir: Path, options: SplitOptions) -> Dataset:
    """Finds the classes and their images, and splits them; tells the user what is odd.

    A class is a direct sub-folder of `image_dir` with images in it or in its own sub-folders.
    What is no image by its name is ignored and counted.

    Args:
        image_dir: the folder that holds the classes' folders.
        options: of the split.

    Raises:
        UserError: there is nothing to learn from, a folder is unreadable or an option impossible.
    """
    splits.check_options(options)
    parts = {"validation_dir": options.validation_dir, "test_dir": options.test_dir}
    roots = {flag: root for flag, root in parts.items() if root}
    listings = folders.list_images({"image_dir": image_dir, **roots})
    found = listings.pop("image_dir")
    # It may be the reason why there are too few.
    tell_of_ignored([found, *listings.values()])
    _check_class_ids(image_dir, found)
    for flag, listing in listings.items():
        _check_given_part(flag, roots[flag], listing, known=list(found.images))
    _tell_of_categories(found)

    images: list[ImageFile] = []
    for class_id, (folder, files) in enumerate(found.images.items()):
        for file in files:
            place = splits.place(options, folder, file)
            images.append(ImageFile(image_dir / folder / file, class_id, TRAINING, place))
        for flag, listing in listings.items():
            for file in listing.images.get(folder, []):
                path = roots[flag] / folder / file
                images.append(ImageFile(path, class_id, _SPLITS[flag], None))
    names = tuple(found.images)
    dataset = Dataset(image_dir, labels_of(names), names, tuple(images), splits.shares_of(options))
    dataset = _split_anew(dataset)
    _warn_of_empty(_empty(dataset, given={_SPLITS[flag] for flag in roots}))
    return dataset


def _split_anew(dataset: Dataset) -> Dataset:
    places: dict[int, list[float]] = {class_id: [] for class_id in range(len(dataset.labels))}
    for image in dataset.images:
        if image.place is not None:
            places[image.class_id].append(image.place)
    parts = {
        class_id: iter(splits.assign(of_class, dataset.shares))
        for class_id, of_class in places.items()
    }
    images = tuple(
        image
        if image.place is None
        else ImageFile(image.path, image.class_id, next(parts[image.class_id]), image.place)
        for image in dataset.images
    )
    return replace(dataset, images=images)


def _counts_to_split(images: Iterable[ImageFile]) -> Counter[int]:
    return Counter(image.class_id for image in images if image.place is not None)


def _check_class_ids(image_dir: Path, found: Listing) -> None:
    where = f"--image_dir={image_dir}"
    each = "each class needs a sub-folder of its own with its images in it"
    if found.loose:
        each += f" ({found.loose} images lie directly in the folder)"
    if not found.images:
        instead = f", only {_kinds(found.ignored)}" if found.ignored and not found.loose else ""
        extensions = ", ".join(folders.EXTENSIONS)
        raise UserError(f"{where} has no sub-folder with images ({extensions}){instead}; {each}")
    nested = all("/" in file for files in found.images.values() for file in files)
    names = list(found.images)
    if nested and len(names) > 1 and {name.lower() for name in names} <= _PARTS:
        raise UserError(
            f"{where} is split already into {name_some(names)}; give the folder of the training "
            "part as --image_dir and the others as --validation_dir and --test_dir"
        )
    if len(names) == 1:
        hint = f"; if the classes lie in it, use --image_dir={image_dir / names[0]}"
        raise UserError(
            f"{where} has only one class with images, {names[0]}, and two are the least; "
            f"{each}{hint if nested else ''}"
        )
    few = [name for name, files in found.images.items() if len(files) < _FEWEST_IMAGES]
    if few:
        raise UserError(
            f"{where} has fewer than {_FEWEST_IMAGES} images in: "
            f"{_with_counts(few, found)}; add images there, or remove the folder"
        )


def _check_given_part(flag: str, root: Path, listing: Listing, known: Sequence[str]) -> None:
    unknown = [name for name in listing.images if name not in known]
    if unknown:
        raise UserError(
            f"--{flag}={root} has classes that --image_dir has not: {name_some(unknown)}; "
            f"name its folders as those of --image_dir: {name_some(known)}"
        )
    if not listing.images:
        raise UserError(
            f"--{flag}={root} has no images in sub-folders named as those of --image_dir: "
            f"{name_some(known)}; add images there, or leave the flag out"
        )


def tell_of_ignored(listings: Sequence[Listing]) -> None:
    """Says what in the folders is not used, and why."""
    ignored = sum((listing.ignored for listing in listings), Counter[str]())
    unsupported = Counter({kind: ignored.pop(kind) for kind in _UNSUPPORTED if kind in ignored})
    if unsupported:
        logging.warning(
            "Ignored images of kinds that this program cannot read: %s. Convert them to JPEG or "
            "PNG to learn from them.",
            _kinds(unsupported),
        )
    if ignored:
        files = _number(ignored.total(), "file that is not an image", "files that are not images")
        logging.info("Ignored %s: %s.", files, _kinds(ignored))
    loose = sum(listing.loose for listing in listings)
    if loose:
        images = _number(loose, "image that lies", "images that lie")
        logging.warning("Ignored %s outside the folders of the classes.", images)
    again = [name for listing in listings for name in listing.again]
    if again:
        logging.warning("Used once what is found again through links: %s.", name_some(again))
    empty = [name for listing in listings for name in listing.empty]
    if empty:
        logging.warning("Ignored folders without images: %s.", name_some(empty))


def _tell_of_categories(found: Listing) -> None:
    few = [name for name, files in found.images.items() if len(files) < _FEW_IMAGES]
    if few:
        logging.warning(
            "Fewer than %d images, which is little to learn from: %s.",
            _FEW_IMAGES,
            _with_counts(few, found),
        )


def _empty(dataset: Dataset, given: Collection[str]) -> set[tuple[str, str]]:
    """Returns which of the parts `given` by folders lack which class, as (part, folder)."""
    filled = {(image.split, dataset.folders[image.class_id]) for image in dataset.images}
    return {(split, folder) for split in given for folder in dataset.folders} - filled


def _warn_of_empty(empty: Collection[tuple[str, str]]) -> None:
    for split in (VALIDATION, TEST):
        missing = sorted(folder for part, folder in empty if part == split)
        if missing:
            logging.warning("The %s part has no images of: %s.", split, name_some(missing))


def _with_counts(names: Iterable[str], found: Listing) -> str:
    return name_some(f"{name} ({len(found.images[name])})" for name in names)


def _kinds(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return name_some(f"{count} {kind}" for kind, count in ordered)


def _number(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"
