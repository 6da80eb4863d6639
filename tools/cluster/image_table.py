"""Lists the images in a folder of any file system, as an Arrow table."""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from retrain.bottlenecks.file_version import SETTLING_NS
from retrain.data import file_kinds, folder_checks, folders
from retrain.data.labels import make_labels
from retrain.errors import UserError
from retrain.shards.storage import Storage, StoredFile
from retrain.system.text import name_some

_COLUMNS = ("name", "label", "size", "modified")


def list_classes(storage: Storage) -> Any:
    """Lists the images of a data set: a folder with a sub-folder for each class.

    The same files count as images as for `//retrain`. In object storage, only their names decide.

    Returns:
        Arrow table with the columns name (relative path), label, size and modified, sorted by name.

    Raises:
        UserError: If the storage cannot be read, or has no images in sub-folders.
    """
    files = _list_local_classes(storage) if storage.is_local else _list_images(storage)
    outside = [file.name for file in files if "/" not in file.name]
    files = [file for file in files if "/" in file.name]
    if outside:
        logging.warning(
            "Ignored images that are not in the folder of a class: %s.", name_some(outside)
        )
    if not files:
        raise UserError(
            f"--{storage.flag}={storage.url} has no sub-folder with images; each class needs a "
            "sub-folder with its images"
        )
    classes = sorted({file.name.partition("/")[0] for file in files})
    labels = dict(zip(classes, make_labels(classes), strict=True))
    return _table((file, labels[file.name.partition("/")[0]]) for file in files)


def list_images(storage: Storage) -> Any:
    """Lists all images below a folder.

    Returns:
        Arrow table as that of `list_classes`, with empty labels.

    Raises:
        UserError: If the storage cannot be read, or has no images.
    """
    files = _list_images(storage)
    if not files:
        raise UserError(
            f"--{storage.flag}={storage.url} has no images "
            f"({', '.join(file_kinds.EXTENSIONS)}); choose another folder"
        )
    return _table((file, "") for file in files)


def _table(rows: Iterable[tuple[StoredFile, str]]) -> Any:
    import pyarrow as pa

    ordered = sorted(rows)
    columns: list[list[object]] = [
        [file.name for file, _ in ordered],
        [label for _, label in ordered],
        [file.size for file, _ in ordered],
        [file.modified for file, _ in ordered],
    ]
    types = (pa.string(), pa.string(), pa.int64(), pa.string())
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    return pa.table(arrays, names=list(_COLUMNS))


def _list_local_classes(storage: Storage) -> list[StoredFile]:
    listing = folders.list_images({storage.flag: storage.path("")})[storage.flag]
    folder_checks.report_ignored([listing])
    names = [f"{folder}/{name}" for folder, names in listing.images.items() for name in names]
    return _settled(lambda: [file for name in names if (file := storage.describe_file(name))])


def _list_images(storage: Storage) -> list[StoredFile]:
    return _settled(lambda: [file for file in storage.list_files() if _is_image(file.name)])


def _settled(list_files: Callable[[], list[StoredFile]]) -> list[StoredFile]:
    """Lists files, again if some are so new that their times say nothing yet."""
    files = list_files()
    if any(not file.modified for file in files):
        time.sleep(SETTLING_NS / 1e9)
        files = list_files()
    return files


def _is_image(name: str) -> bool:
    *parents, file = name.split("/")
    hidden = any(part.startswith(".") or file_kinds.is_system_folder(part) for part in parents)
    return not hidden and not file.startswith(".") and file_kinds.has_image_name(file)
