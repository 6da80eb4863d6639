"""Draws heat maps over all images of a folder."""

import dataclasses
import logging
import os
from pathlib import Path
from typing import NamedTuple

from label_image import heat_map_files
from label_image.classifier import Classifier, UnreadableImage
from label_image.heat_map_images import HeatMapImages, to_png
from retrain.data.pixels import UnreadableImageError
from retrain.errors import UserError
from retrain.system.outputs.atomic_files import write_file
from retrain.system.outputs.leftovers import is_leftover_name
from retrain.system.text import one_line
from retrain.system.threads import parallel_map
from tools.image_folders.find_images import find_images
from tools.image_folders.safe_names import distinct_safe_names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a run.

    Attributes:
        source: Absolute path of the folder with the images.
        target: Absolute path of the folder for the heat maps. It is created if necessary.
        recursive: Whether to search the subfolders of `source`, too.
        label: Label of all heat maps; None for the best ones of each image.
        top: Number of labels to draw for each image, if `label` is None.
    """

    source: Path
    target: Path
    recursive: bool = False
    label: str | None = None
    top: int = 1


class Counts(NamedTuple):
    """Numbers of images.

    Attributes:
        drawn: Number of images with heat maps.
        failed: Number of images that cannot be read.
    """

    drawn: int
    failed: int


class _Drawn(NamedTuple):
    """The result for an image.

    Attributes:
        name: Path of the image, relative to the source folder.
        files: Content of each heat map by its path, relative to the target folder.
        reason: Why the image cannot be read, or "".
    """

    name: str
    files: dict[str, bytes]
    reason: str = ""


def check(options: Options) -> None:
    """Raises UserError if the folders do not allow the options.

    The target folder is new, or empty, or contains only heat maps that this program wrote.
    """
    target = options.target
    if target.exists() and target.samefile(options.source):
        raise UserError(f"{target} is also the folder of the images; choose another folder")
    for folder, subfolders, names in os.walk(target):
        subfolders[:] = [name for name in subfolders if not is_leftover_name(name)]
        links = [name for name in subfolders if Path(folder, name).is_symlink()]
        for path in (Path(folder, name) for name in links + names if not is_leftover_name(name)):
            if not heat_map_files.is_heat_map_file(path):
                raise UserError(
                    f"{target} already contains other files, such as {path}; choose a new folder"
                )


def draw_folder(options: Options, classifier: Classifier) -> Counts:
    """Draws the heat maps of all images.

    Apart from the names in one folder, memory does not grow with the number of images.

    Args:
        options: Options that `check` has accepted.
        classifier: The loaded classifier.

    Raises:
        UserError: If there are no images, the label is unknown, there is no heat map for the
            network, or a file cannot be written.
    """
    heat_maps = HeatMapImages(classifier)
    if options.label is not None:
        heat_maps.check_label(options.label, "label")
    file_names = distinct_safe_names(classifier.labels)

    def draw(name: str) -> _Drawn:
        path = options.source / name
        labels = [options.label] if options.label is not None else []
        if not labels:
            result = classifier.classify_one(path)
            if isinstance(result, UnreadableImage):
                return _Drawn(name, {}, result.reason)
            labels = [label for label, _ in result.ranked[: options.top]]
        ends = [f"-{file_names[label]}" if len(labels) > 1 else "" for label in labels]
        try:
            images = heat_maps.draw(path, labels)
        except UnreadableImageError as error:
            return _Drawn(name, {}, str(error))
        return _Drawn(
            name,
            {
                f"{name}{end}{heat_map_files.SUFFIX}": to_png(image)
                for end, image in zip(ends, images, strict=True)
            },
        )

    names = find_images(options.source, recursive=options.recursive, exclude=options.target)
    drawn = failed = 0
    for name, files, reason in parallel_map(draw, names, classifier.runtime.workers):
        if reason:
            logging.warning("%s cannot be read: %s", one_line(name), reason)
            failed += 1
            continue
        for file_name, content in files.items():
            write_file(options.target / file_name, content)
        drawn += 1
    return Counts(drawn, failed)
