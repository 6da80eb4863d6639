"""Files from the network: fetched once, gone on with after an interruption, and checked."""

import contextlib
import hashlib
import http.client
import logging
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from retrain.file_lock import alone

_TIMEOUT_SECONDS = 30
_CHUNK = 1 << 20
_SECONDS_BETWEEN_LINES = 10.0

# RFC 9110: a part of what was asked for, and: there is nothing of it from there on.
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416


class DownloadError(Exception):
    """The file is not there; the message says why."""


def fetch(url: str, path: Path, digest: str | None = None) -> None:
    """Makes sure that the file is at `path`.

    One that is there already is taken, unless it has another digest. What an interrupted download
    left beside it, in a file that ends in `.part`, is not fetched again.

    Args:
        url: where from.
        path: where to; the folder is made where it is missing.
        digest: of the content, MD5 or SHA-256 in hexadecimal, or None where it is not known.

    Raises:
        DownloadError: the network or the server has it not, or it is damaged.
        OSError: the folder cannot be written.
    """
    if path.is_file() and _is_right(path, digest):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with alone(part, f"Another run fetches {path.name}; waiting for it.") as file:
        if path.is_file() and _is_right(path, digest):
            return
        try:
            _receive(url, file, path.name)
        except (OSError, http.client.HTTPException) as error:
            left = f" after {file.tell() / 1e6:.1f} MB, which are kept" if file.tell() else ""
            raise DownloadError(f"{_reason(error)}{left}") from error
        file.flush()
        if not _is_right(part, digest):
            file.truncate(0)
            file.seek(0)
            raise DownloadError(f"what {_host(url)} sent has not the digest {digest}")
        part.replace(path)


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's content in hexadecimal."""
    with path.open("rb") as file:
        return _digest(file, hashlib.sha256())


def _is_right(path: Path, digest: str | None) -> bool:
    if digest is None:
        return True
    kind = hashlib.md5() if len(digest) == 32 else hashlib.sha256()
    with path.open("rb") as file:
        return _digest(file, kind) == digest


def _digest(file: IO[bytes], kind: Any) -> str:
    while chunk := file.read(_CHUNK):
        kind.update(chunk)
    return kind.hexdigest()


def _receive(url: str, file: IO[bytes], name: str) -> None:
    """Appends to the file what it lacks."""
    with _opened(url, file.tell()) as response:
        if response.status != _PARTIAL_CONTENT:
            file.truncate(0)
            file.seek(0)
        length = response.headers.get("Content-Length")
        begun = file.tell()
        total = begun + int(length) if length else None
        with _Progress(name, total, begun) as progress:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                progress.add(len(chunk))
        # A connection that breaks off looks like the end of the file.
        if total is not None and file.tell() < total:
            raise ConnectionError(f"{_host(url)} broke off")


@contextlib.contextmanager
def _opened(url: str, begin: int) -> Iterator[Any]:
    headers = {"User-Agent": "retrain", **({"Range": f"bytes={begin}-"} if begin else {})}
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_SECONDS
        )
    except urllib.error.HTTPError as error:
        if error.code != _RANGE_NOT_SATISFIABLE:
            raise
        # What is there is the whole, or not of this file.
        response = urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS)
    with response:
        yield response


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{_host(error.url)} answers {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc


class _Progress:
    """A bar on a terminal, now and then a line elsewhere."""

    def __init__(self, name: str, total: int | None, done: int) -> None:
        self._name, self._total, self._done = name, total, done
        self._said = time.monotonic()
        self._bar: Any = None
        logging.info("Downloading %s%s.", name, f", {total / 1e6:.1f} MB" if total else "")
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, initial=done, desc=name, unit="B", unit_scale=True, leave=False
            )

    def add(self, count: int) -> None:
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            of = f" of {self._total / 1e6:.1f}" if self._total else ""
            logging.info("Downloading %s: %.1f%s MB.", self._name, self._done / 1e6, of)

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
