"""Downloads files, resumes interrupted downloads and checks the result.

Libraries that were considered: keras.utils.get_file and pooch check hashes, but neither resumes a
download nor keeps two processes from fetching the same file. huggingface_hub does, for its own
server only. requests and smart_open transfer data, and leave all of this to their callers.
"""

import contextlib
import email.utils
import http.client
import logging
import os
import string
import urllib.error
import urllib.parse
import urllib.request
from email.message import Message
from pathlib import Path
from typing import IO, Any

from retrain.system.files.checksums import md5, sha256
from retrain.system.files.flush import flush_file
from retrain.system.files.locks import exclusive_file
from retrain.system.files.private_files import create_private_folders, open_private, read_private
from retrain.system.progress import ProgressBar

_TIMEOUT_SECONDS = 30
_CHUNK = 1 << 20

# Status codes of RFC 9110: the response is the requested part of the file, or the file is too short
# to have that part.
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416
# Last-Modified identifies a version only if it is this much older than the response: a file that
# has just changed can change again in the same second.
_MIN_AGE_SECONDS = 60


class DownloadError(Exception):
    """The file cannot be downloaded. The message says why."""


def fetch(url: str, path: Path, *, digest: str | None = None) -> None:
    """Downloads a file, unless `path` already has the right digest.

    An interrupted download leaves two files: one that ends in `.part` with the content so far, and
    one that ends in `.part.version` with the version of the file on the server. The next call
    downloads only the rest if the server still has this version. If another process is downloading
    the file, this one waits for it. The file is complete as soon as `path` exists, even if the
    computer loses power.

    Args:
        url: Address of the file.
        path: Path to write. Missing parent folders are created.
        digest: MD5 or SHA-256 of the content in hexadecimal, or None if it is not known.

    Raises:
        DownloadError: If the file cannot be received or is damaged, or if `url` is not valid.
        OSError: If the folder cannot be written.
    """
    if path.is_file() and _has_digest(path, digest):
        return
    create_private_folders(path.parent)
    part = path.with_name(f"{path.name}.part")
    version_file = path.with_name(f"{part.name}.version")
    with exclusive_file(part, f"Another run is downloading {path.name}; waiting for it.") as file:
        if path.is_file() and _has_digest(path, digest):
            return
        try:
            _receive(url, file, version_file, path.name)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if not file.tell() or not _read_version(version_file):
                _discard(file, version_file)
            kept = f" after {file.tell() / 1e6:.1f} MB, which are kept" if file.tell() else ""
            raise DownloadError(f"{_reason(error)}{kept}") from error
        file.flush()
        if not _has_digest(part, digest):
            _discard(file, version_file)
            raise DownloadError(f"the file that {_host(url)} sent does not have digest {digest}")
        flush_file(part)
        version_file.unlink(missing_ok=True)
        part.replace(path)


def _has_digest(path: Path, digest: str | None) -> bool:
    if digest is None:
        return True
    md5_length = 32
    return (md5(path) if len(digest) == md5_length else sha256(path)) == digest


def _receive(url: str, file: IO[bytes], version_file: Path, name: str) -> None:
    """Appends the part of the content that is missing."""
    # Another process can have appended to the file since it was opened.
    position = file.seek(0, os.SEEK_END)
    version = _read_version(version_file) if position else None
    with _open_rest(url, position, version) or _open(url, {}) as response:
        if response.status != _PARTIAL_CONTENT:
            _discard(file, version_file)
            if version := _version(response.headers):
                with open(version_file, "w", encoding="latin-1", opener=open_private) as text:
                    text.write(version)
        length = response.headers.get("Content-Length")
        total = file.tell() + int(length) if length else None
        logging.info("Downloading %s%s.", name, f", {total / 1e6:.1f} MB" if total else "")
        description = f"Downloading {name}"
        with ProgressBar(total, description, in_bytes=True, done=file.tell()) as progress:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                progress.add(len(chunk))
        # A broken connection looks like the end of the file.
        if total is not None and file.tell() < total:
            raise ConnectionError(f"{_host(url)} closed the connection too early")


def _discard(file: IO[bytes], version_file: Path) -> None:
    file.truncate(0)
    file.seek(0)
    version_file.unlink(missing_ok=True)


def _read_version(version_file: Path) -> str | None:
    """Returns the version of an interrupted download, or None if it is not known."""
    with contextlib.suppress(FileNotFoundError):
        version = read_private(version_file).decode("latin-1")
        # If the computer loses power while this file is written, it can have any content.
        return version if version.isprintable() else None
    return None


def _version(headers: Message) -> str | None:
    """Returns the header that identifies this version of a file, or None if it has none.

    See RFC 9110, sections 8.8 and 13.1.5.
    """
    tag, changed = headers.get("ETag"), headers.get("Last-Modified", "")
    if tag is not None:
        return tag if tag.startswith('"') and tag.isprintable() else None
    with contextlib.suppress(ValueError, TypeError):
        sent, date = map(email.utils.parsedate_to_datetime, (headers["Date"], changed))
        if (sent - date).total_seconds() > _MIN_AGE_SECONDS and changed.isprintable():
            return changed
    return None


def _open_rest(url: str, position: int, version: str | None) -> Any | None:
    """Requests the content after `position`. Returns None if the server has another version."""
    if not version:
        return None
    try:
        response = _open(url, {"Range": f"bytes={position}-", "If-Range": version})
    except urllib.error.HTTPError as error:
        if error.code != _RANGE_NOT_SATISFIABLE:
            raise
        # The kept part is at least as long as the file.
        return None
    # Some servers ignore If-Range and send the rest of another version.
    if response.status == _PARTIAL_CONTENT and _version(response.headers) not in (None, version):
        response.close()
        return None
    return response


def _open(url: str, headers: dict[str, str]) -> Any:
    request = urllib.request.Request(_quote(url), headers={"User-Agent": "retrain", **headers})
    return urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)


def _quote(url: str) -> str:
    """Returns an address in ASCII. Characters that are quoted already stay the same."""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    path = urllib.parse.quote(parts.path, string.punctuation)
    query = urllib.parse.quote(parts.query, string.punctuation)
    return parts._replace(netloc=host, path=path, query=query).geturl()


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{_host(error.url)} answers {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc
