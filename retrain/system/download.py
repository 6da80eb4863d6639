"""Files from the network: fetched once, gone on with after an interruption, and checked."""

import contextlib
import email.utils
import hashlib
import http.client
import logging
import os
import string
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import IO, Any

from retrain.system.locks import exclusive_file

_TIMEOUT_SECONDS = 30
_CHUNK = 1 << 20
_SECONDS_BETWEEN_LINES = 10.0

# RFC 9110: a part of what was asked for, and: there is nothing of it from there on.
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416
# A file that has changed no later than this before it was sent may change again unnoticed.
_SECONDS_OF_DOUBT = 60


class DownloadError(Exception):
    """The file is not there; the message says why."""


def fetch(url: str, path: Path, digest: str | None = None) -> None:
    """Makes sure that the file is at `path`.

    One that is there already is taken, unless it has another digest. What an interrupted download
    left beside it, in a file that ends in `.part`, is not fetched again, if the server says that it
    still has that version; one that ends in `.part.version` says which that is.

    Args:
        url: where from.
        path: where to; the folder is made where it is missing.
        digest: of the content, MD5 or SHA-256 in hexadecimal, or None where it is not known.

    Raises:
        DownloadError: the network or the server has it not, it is damaged, or that is no address.
        OSError: the folder cannot be written.
    """
    if path.is_file() and _is_right(path, digest):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    note = path.with_name(f"{part.name}.version")
    with exclusive_file(part, f"Another run fetches {path.name}; waiting for it.") as file:
        if path.is_file() and _is_right(path, digest):
            return
        try:
            _receive(url, file, note, path.name)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if not file.tell() or not _noted(note):
                _forget(file, note)
            left = f" after {file.tell() / 1e6:.1f} MB, which are kept" if file.tell() else ""
            raise DownloadError(f"{_reason(error)}{left}") from error
        file.flush()
        if not _is_right(part, digest):
            _forget(file, note)
            raise DownloadError(f"what {_host(url)} sent has not the digest {digest}")
        note.unlink(missing_ok=True)
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


def _receive(url: str, file: IO[bytes], note: Path, name: str) -> None:
    """Appends to the file what it lacks."""
    # Another run may have added to it since it was opened.
    begin = file.seek(0, os.SEEK_END)
    with _opened(url, begin, _noted(note) if begin else None) as response:
        if response.status != _PARTIAL_CONTENT:
            _forget(file, note)
            if version := _version(response.headers):
                note.write_text(version, "latin-1")
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


def _forget(file: IO[bytes], note: Path) -> None:
    file.truncate(0)
    file.seek(0)
    note.unlink(missing_ok=True)


def _noted(note: Path) -> str | None:
    """Returns the version that a part is of, None where it is not known."""
    with contextlib.suppress(FileNotFoundError):
        version = note.read_text("latin-1")
        # A computer that stops while it is written may leave anything there.
        return version if version.isprintable() else None
    return None


def _version(headers: Message) -> str | None:
    """Returns what tells this version of a file from all others (RFC 9110, 8.8 and 13.1.5)."""
    tag, changed = headers.get("ETag"), headers.get("Last-Modified", "")
    if tag is not None:
        return tag if tag.startswith('"') and tag.isprintable() else None
    with contextlib.suppress(ValueError, TypeError):
        sent, date = map(email.utils.parsedate_to_datetime, (headers["Date"], changed))
        if (sent - date).total_seconds() > _SECONDS_OF_DOUBT and changed.isprintable():
            return changed
    return None


@contextlib.contextmanager
def _opened(url: str, begin: int, version: str | None) -> Iterator[Any]:
    rest = _rest(url, begin, version) if version else None
    with rest or _asked(url, {}) as response:
        yield response


def _rest(url: str, begin: int, version: str) -> Any | None:
    """Asks for what is lacking of a version; None where the server has nothing that fits."""
    try:
        response = _asked(url, {"Range": f"bytes={begin}-", "If-Range": version})
    except urllib.error.HTTPError as error:
        if error.code != _RANGE_NOT_SATISFIABLE:
            raise
        # What is there is the whole, or not of this file.
        return None
    # Some servers send a part of whatever they have.
    if response.status == _PARTIAL_CONTENT and _version(response.headers) not in (None, version):
        response.close()
        return None
    return response


def _asked(url: str, headers: dict[str, str]) -> Any:
    request = urllib.request.Request(_as_sent(url), headers={"User-Agent": "retrain", **headers})
    return urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)


def _as_sent(url: str) -> str:
    """Returns an address in ASCII; what is quoted in it already stays as it is."""
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
