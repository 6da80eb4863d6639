"""Connects to file systems by the addresses of folders, and explains their errors."""

import os
import re
from typing import Any

from retrain.system.files.user_paths import user_path
from retrain.system.text import first_line, one_line

# Arrow's own file systems are faster than those of fsspec, and take no further packages.
_S3, _GOOGLE = ("s3", "s3a"), ("gs", "gcs")
# Without limits, an address that does not answer blocks for many minutes.
_CONNECT_SECONDS, _REQUEST_SECONDS = 10.0, 60.0
_S3_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_S3_ERRORS = {
    "NO_SUCH_BUCKET": "the bucket does not exist",
    "ACCESS_DENIED": "access is denied",
    "INVALID_ACCESS_KEY_ID": "the access key is not known",
    "SIGNATURE_DOES_NOT_MATCH": "the secret key is wrong",
    "NETWORK_CONNECTION": "the server cannot be reached",
}
# In the errors of Arrow's file systems, which have no numbers.
_REMOTE_ERRORS = ("AWS Error", "google::cloud")


def parse_url(value: str) -> str:
    """Returns an absolute local path, or a URL, for what the user typed."""
    if value.startswith("file://"):
        value = value.removeprefix("file://")
    return value.rstrip("/") if "://" in value else os.fspath(user_path(value))


def is_url(value: str) -> bool:
    """Returns whether what the user typed is not a local path."""
    return "://" in value and not value.startswith("file://")


def connect(url: str) -> tuple[Any, str]:
    """Returns the Arrow file system of a URL, and the path in it.

    Args:
        url: Result of `parse_url`.

    Raises:
        OSError, ValueError or ImportError: If there is no such file system, or a package for it is
            missing.
    """
    from pyarrow import fs

    scheme, separator, path = url.partition("://")
    if not separator:
        return fs.LocalFileSystem(), url
    if scheme in _S3:
        endpoint = next(filter(None, map(os.environ.get, _S3_ENDPOINT_VARIABLES)), None)
        return fs.S3FileSystem(
            endpoint_override=endpoint,
            connect_timeout=_CONNECT_SECONDS,
            request_timeout=_REQUEST_SECONDS,
        ), path
    if scheme in _GOOGLE:
        return fs.GcsFileSystem(), path
    import fsspec

    file_system, root = fsspec.core.url_to_fs(url)
    return fs.PyFileSystem(fs.FSSpecHandler(file_system)), root


def error_reason(error: Exception) -> str:
    """Returns why a file system failed, in a few words."""
    code = re.search(r"AWS Error (\w+)", str(error))
    if code and code[1] in _S3_ERRORS:
        return _S3_ERRORS[code[1]]
    return one_line(getattr(error, "strerror", None) or first_line(error))


def is_access_error(error: Exception) -> bool:
    """Returns whether a file could not be accessed, rather than has the wrong content."""
    if not isinstance(error, OSError):
        return False
    return error.errno is not None or any(text in str(error) for text in _REMOTE_ERRORS)
