"""Finds TensorFlow Hub modules by address, Kaggle handle, folder or archive.

Modules are downloaded in compressed form (https://www.tensorflow.org/hub/hosting). They are kept
under the same names as those of the `tensorflow_hub` package, in TFHUB_CACHE_DIR if it is set. The
package itself does not work with current versions of setuptools.
"""

import hashlib
import logging
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from retrain.errors import UserError
from retrain.system.downloads import download
from retrain.system.files import archives, checksums, tar_archive
from retrain.system.files.cache_folder import check_cache_folder
from retrain.system.files.locks import exclusive_access
from retrain.system.files.private_files import create_private_folders
from retrain.system.files.user_paths import user_path
from retrain.system.outputs.atomic_files import atomic_folder

SAVED_MODEL_FILE = "saved_model.pb"

_TENSORFLOW_1_FILE = "tfhub_module.pb"
_CACHE_FOLDER = "modules"
_CACHE_VARIABLE = "TFHUB_CACHE_DIR"
_KAGGLE = "https://www.kaggle.com"
_KAGGLE_PAGE = f"{_KAGGLE}/models/"
# Owner, model, framework, variation, version.
_KAGGLE_HANDLE = re.compile(r"[\w-]+/[\w-]+/tensorflow2/[\w.-]+(/\d+)?", re.IGNORECASE)
# Parts of handles that follow the name of the network: the kind of its outputs, and the version.
_NOT_A_NAME = re.compile(r"feature[_-]vector|classification|\d+", re.IGNORECASE)
_SUFFIXES = (".tar.gz", ".tgz")
# Usual sizes of training images in pixels. A module for any size has its training size in its name.
_SIZES = ("96", "128", "160", "192", "224", "240", "256", "260", "288", "299", "300", "331", "384")


class _DamagedArchiveError(UserError):
    """An archive cannot be unpacked."""


def find_folder(handle: str, cache_dir: Path) -> Path:
    """Returns the folder of a module, after downloading or unpacking it if necessary.

    Args:
        handle: Address, Kaggle handle, folder, or .tar.gz file.
        cache_dir: Folder of the cache.

    Raises:
        UserError: If the module cannot be found, or is not a SavedModel.
    """
    modules = cache_dir / _CACHE_FOLDER
    if shared_folder := os.environ.get(_CACHE_VARIABLE):
        modules = user_path(shared_folder)
        check_cache_folder(modules, _CACHE_VARIABLE)
    path = None if _is_address(handle) else user_path(handle)
    try:
        if path and path.is_dir():
            folder = path
        elif path and path.is_file():
            folder = modules / checksums.sha256(path)[:40]
            if not _is_intact(folder):
                create_private_folders(modules)
                _unpack(handle, path, folder)
        else:
            digest = hashlib.sha1(os.fsencode(handle), usedforsecurity=False)
            folder = modules / digest.hexdigest()
            _download(handle, folder)
    except OSError as error:
        raise UserError(
            f"--tfhub_module={handle} cannot be read: {error.strerror}; name a folder, a .tar.gz "
            "file or an address"
        ) from error
    return _find_saved_model(handle, folder)


def archive_url(handle: str) -> str:
    """Returns the address of a module's compressed form.

    Args:
        handle: Address of a module or archive, address of a Kaggle page, or Kaggle handle.

    Raises:
        UserError: If the handle is none of these.
    """
    if handle.startswith(_KAGGLE_PAGE):
        handle = handle.removeprefix(_KAGGLE_PAGE).strip("/").replace("/variations/", "/")
    if match := _KAGGLE_HANDLE.fullmatch(handle):
        if not match[1]:
            raise UserError(
                f"--tfhub_module={handle} needs a version at its end, such as {handle}/1"
            )
        return f"{_KAGGLE}/api/v1/models/{handle}/download"
    try:
        parts = urlsplit(handle)
    except ValueError as error:
        raise _not_found(handle) from error
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise _not_found(handle)
    if parts.path.endswith(_SUFFIXES):
        return handle
    return f"{handle}{'&' if parts.query else '?'}tf-hub-format=compressed"


def module_name(handle: str) -> str:
    """Returns a short name for a module that `find_folder` found: the last parts of its handle."""
    return "_".join(_parts(handle)[-3 if _is_address(handle) else -1 :])


def size_in_name(handle: str) -> int | None:
    """Returns the image size in the name of a network, such as `net_100_224/feature_vector/4`.

    Numbers in the names of the folders above the network are ignored.

    Args:
        handle: Handle of a module that `find_folder` found.
    """
    names = [part for part in _parts(handle) if not _NOT_A_NAME.fullmatch(part)]
    numbers = re.split(r"\D+", names[-1]) if names else []
    sizes = [int(number) for number in numbers if number in _SIZES]
    return sizes[-1] if sizes else None


def tensorflow_1_error(handle: str) -> UserError:
    """Returns the error for a module in the format of TensorFlow 1."""
    return UserError(
        f"--tfhub_module={handle} has the format of TensorFlow 1; choose a module for "
        "TensorFlow 2, or freeze this one to a graph for --model_dir"
    )


def _download(handle: str, folder: Path) -> None:
    url = archive_url(handle)
    if _is_intact(folder):
        return
    create_private_folders(folder.parent)
    archive = folder.with_name(f"{folder.name}.tar.gz")
    # Without the lock, another process could delete the archive before this one unpacks it.
    with exclusive_access(folder, f"Another run is downloading {handle}; waiting for it."):
        if _is_intact(folder):
            return
        try:
            _fetch_and_unpack(handle, url, archive, folder=folder)
        except _DamagedArchiveError as error:
            # The archive can be the rest of a run that was killed.
            logging.warning("%s; downloading it again.", error)
            _fetch_and_unpack(handle, url, archive, folder=folder)


def _fetch_and_unpack(handle: str, url: str, archive: Path, *, folder: Path) -> None:
    try:
        download.fetch(url, archive)
    except download.DownloadError as error:
        raise UserError(
            f"--tfhub_module={handle} cannot be downloaded ({error}); get {url} in another way "
            "and name the file; --architecture=efficientnet_lite0 needs no download"
        ) from error
    try:
        _unpack(handle, archive, folder)
    finally:
        archive.unlink(missing_ok=True)


def _is_intact(folder: Path) -> bool:
    return folder.is_dir() and checksums.are_right(folder)


def _parts(handle: str) -> list[str]:
    # The query of an address is left out, since it can contain a secret signature.
    path = urlsplit(handle).path if _is_address(handle) else handle
    for suffix in _SUFFIXES:
        path = path.removesuffix(suffix)
    return [part for part in path.split("/") if part]


def _is_address(handle: str) -> bool:
    return "://" in handle


def _not_found(handle: str) -> UserError:
    return UserError(
        f"--tfhub_module={handle} is neither a folder, a .tar.gz file nor an address; name one of "
        "these"
    )


def _unpack(handle: str, archive: Path, folder: Path) -> None:
    if folder.is_dir():
        logging.warning("%s is damaged and will be replaced.", folder)
    try:
        with atomic_folder(folder) as new, archive.open("rb") as file:
            tar_archive.unpack(file, new)
            checksums.write_checksums(new)
    except archives.ArchiveError as error:
        raise _DamagedArchiveError(
            f"--tfhub_module={handle} cannot be unpacked ({error}); name a folder, a .tar.gz file "
            "or an address"
        ) from error


def _find_saved_model(handle: str, folder: Path) -> Path:
    """Returns the folder with the SavedModel, which can be the given one or a subfolder."""
    for candidate in (folder, *(entry for entry in folder.iterdir() if entry.is_dir())):
        if (candidate / _TENSORFLOW_1_FILE).is_file():
            raise tensorflow_1_error(handle)
        if (candidate / SAVED_MODEL_FILE).is_file():
            return candidate
    raise UserError(
        f"--tfhub_module={handle} contains no {SAVED_MODEL_FILE}; name a module, which is a "
        "SavedModel"
    )
