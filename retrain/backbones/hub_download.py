"""Finds modules of TensorFlow Hub: by address, by Kaggle's handle, in folders and in archives.

An address is asked for its compressed form, as https://www.tensorflow.org/hub/hosting says, and
what comes is kept under the name that TensorFlow Hub's own library gives it, in TFHUB_CACHE_DIR
where that is set. The library itself does not load beside the setuptools of today.
"""

import hashlib
import os
import re
import tarfile
import zlib
from pathlib import Path
from urllib.parse import urlsplit

from retrain.errors import UserError
from retrain.system import download
from retrain.system.files import atomic_folder, user_path
from retrain.system.text import first_line, one_line

SAVED_MODEL = "saved_model.pb"

# Of a module in the format of TensorFlow 1.
_HUB_1 = "tfhub_module.pb"
_FOLDER = "modules"
_KAGGLE = "https://www.kaggle.com"
_KAGGLE_PAGE = f"{_KAGGLE}/models/"
# Owner, model, framework, variation, version.
_KAGGLE_HANDLE = re.compile(r"[\w-]+/[\w-]+/tensorflow2/[\w.-]+(/\d+)?", re.IGNORECASE)
# What handles have behind the name of the network: of what kind it is, and its version.
_NOT_ITS_NAME = re.compile(r"feature[_-]vector|classification|\d+", re.IGNORECASE)
_SUFFIXES = (".tar.gz", ".tgz")
# Sizes that networks are trained for. A module for any size has the best one in its name.
_SIZES = ("96", "128", "160", "192", "224", "240", "256", "260", "288", "299", "300", "331", "384")


def find(handle: str, cache_dir: Path) -> Path:
    """Returns the folder with the module, which is downloaded or unpacked where it is needed.

    Args:
        handle: an address, a handle of Kaggle's, a folder, or a .tar.gz file.
        cache_dir: the folder of the cache.

    Raises:
        UserError: it cannot be had, or is not a SavedModel.
    """
    kept = user_path(os.environ.get("TFHUB_CACHE_DIR") or cache_dir / _FOLDER)
    path = None if _is_address(handle) else user_path(handle)
    try:
        if path and path.is_dir():
            folder = path
        elif path and path.is_file():
            folder = kept / download.sha256(path)[:40]
            _unpack(handle, path, folder)
        else:
            folder = kept / hashlib.sha1(os.fsencode(handle)).hexdigest()
            _download(handle, folder)
    except OSError as error:
        raise UserError(f"--tfhub_module={handle} cannot be read: {error.strerror}") from error
    return _with_saved_model(handle, folder)


def _download(handle: str, folder: Path) -> None:
    url = address(handle)
    if folder.is_dir():
        return
    archive = folder.with_name(f"{folder.name}.tar.gz")
    try:
        download.fetch(url, archive)
    except download.DownloadError as error:
        raise UserError(
            f"--tfhub_module={handle} cannot be downloaded ({error}): get {url} elsewhere and name "
            "the file; --architecture=efficientnet_lite0 needs no download"
        ) from error
    try:
        _unpack(handle, archive, folder)
    finally:
        archive.unlink(missing_ok=True)


def address(handle: str) -> str:
    """Returns where a module's archive is."""
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
        raise _of_no_kind(handle) from error
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise _of_no_kind(handle)
    if parts.path.endswith(_SUFFIXES):
        return handle
    return f"{handle}{'&' if parts.query else '?'}tf-hub-format=compressed"


def name(handle: str) -> str:
    """Returns the last parts of a handle that `find` found, by which people know the module."""
    return "_".join(_parts(handle)[-3 if _is_address(handle) else -1 :])


def size_in_name(handle: str) -> int | None:
    """Returns the size in the name of a network, as `net_100_224/feature_vector/4` has one.

    Args:
        handle: that `find` found. Folders that the module is in say nothing of it.
    """
    names = [part for part in _parts(handle) if not _NOT_ITS_NAME.fullmatch(part)]
    numbers = re.split(r"\D+", names[-1]) if names else []
    sizes = [int(number) for number in numbers if number in _SIZES]
    return sizes[-1] if sizes else None


def _parts(handle: str) -> list[str]:
    # What follows the path of an address may be a signature, which is nobody else's business.
    path = urlsplit(handle).path if _is_address(handle) else handle
    for suffix in _SUFFIXES:
        path = path.removesuffix(suffix)
    return [part for part in path.split("/") if part]


def _is_address(handle: str) -> bool:
    return "://" in handle


def _of_no_kind(handle: str) -> UserError:
    return UserError(
        f"--tfhub_module={handle} is neither a folder nor a .tar.gz file, and not an address; "
        "name one of them"
    )


def _unpack(handle: str, archive: Path, folder: Path) -> None:
    if folder.is_dir():
        return
    try:
        with atomic_folder(folder) as new, tarfile.open(archive) as file:
            members = file.getmembers()
            for member in members:
                # Python's own filters are not in all that is used of 3.10 and 3.11.
                inside = Path(new, member.name).resolve().is_relative_to(new.resolve())
                if not inside or not (member.isfile() or member.isdir()):
                    raise tarfile.ExtractError(f"{one_line(member.name)} is no file inside it")
            file.extractall(new, members)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        reason = first_line(error).rstrip(":")
        raise UserError(
            f"--tfhub_module={handle} is not an archive that can be unpacked ({reason}); name a "
            "folder, a .tar.gz file or an address"
        ) from error


def _with_saved_model(handle: str, folder: Path) -> Path:
    """Returns the folder, or the only one in it, which has the SavedModel."""
    for place in (folder, *(entry for entry in folder.iterdir() if entry.is_dir())):
        if (place / _HUB_1).is_file():
            raise UserError(
                f"--tfhub_module={handle} is in the format of TensorFlow 1; choose one for "
                "TensorFlow 2, or freeze it to a graph for --model_dir"
            )
        if (place / SAVED_MODEL).is_file():
            return place
    raise UserError(
        f"--tfhub_module={handle} has no {SAVED_MODEL}; name a module, which is a SavedModel"
    )
