"""Keeps what an undo must know for certain about a run in a folder that only the user can write to.

Journals and results files can be in folders that others can write to, and can come from somewhere
else. A record in the user's own folder says which folders a run used. It is found by a random
number in the journal, or by the SHA-256 of the results file, so that no other file has a record.
"""

import contextlib
import dataclasses
import json
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from retrain.errors import UserError
from retrain.system.files.cache_folder import user_folder
from retrain.system.files.flush import flush_folder
from retrain.system.files.path_owners import find_intruder
from retrain.system.files.private_files import create_private_folders, open_private, read_private
from tools.transfers import journal_fields

_FOLDER = "guess_dir"
# A record has about 300 bytes. The oldest ones are removed.
_MAX_RECORDS = 1000
_MAX_BYTES = 1 << 24
_KEY = re.compile(r"[0-9a-f]{32,64}")


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The folders of a run.

    Attributes:
        source: Folder of the images, as the user typed it, as an absolute path.
        target: Folder for the sorted images, as the user typed it, as an absolute path.
        real_source: `source` without symbolic links.
        real_target: `target` without symbolic links.
        created: Subfolders of `target` that the run created, and "." if it created `target`.
    """

    source: str
    target: str
    real_source: str
    real_target: str
    created: Sequence[str] = ()

    @classmethod
    def of_folders(cls, source: Path, target: Path, created: Sequence[str] = ()) -> "RunRecord":
        """Returns the record for two folders."""
        real_source, real_target = os.path.realpath(source), os.path.realpath(target)
        return cls(str(source), str(target), real_source, real_target, tuple(created))


def new_key() -> str:
    """Returns a key that nobody can guess."""
    return secrets.token_hex(16)


def write(key: str, record: RunRecord) -> None:
    """Keeps a record. When the function returns, it is on the disk.

    Raises:
        UserError: If the user's folder cannot be written, or if others could write to it.
    """
    path = _path(key)
    try:
        create_private_folders(path.parent)
        _remove_oldest(path.parent)
        with open(path, "wb", opener=open_private) as file:
            file.write(json.dumps(dataclasses.asdict(record)).encode())
            file.flush()
            os.fsync(file.fileno())
        flush_folder(path.parent)
    except OSError as error:
        raise UserError(
            f"{path.parent}, which keeps what --undo needs, cannot be written: {error.strerror}; "
            "set XDG_STATE_HOME to a folder that you can write to"
        ) from error


def read(key: str | None) -> RunRecord | None:
    """Returns a record, or None if there is none.

    Raises:
        UserError: If others could write to the folder of the records.
    """
    if key is None or not _KEY.fullmatch(key):
        return None
    try:
        return _parse(read_private(_path(key), max_bytes=_MAX_BYTES))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def remove(key: str | None) -> None:
    """Removes a record, if there is one."""
    if key is not None and _KEY.fullmatch(key):
        with contextlib.suppress(OSError):
            _path(key).unlink(missing_ok=True)


def _path(key: str) -> Path:
    folder = user_folder("XDG_STATE_HOME", ".local/state") / _FOLDER
    if reason := find_intruder(folder):
        raise UserError(
            f"{folder}, which keeps what --undo needs, is not safe: {reason}; set XDG_STATE_HOME "
            "to a folder of your own"
        )
    return folder / f"{key}.json"


def _parse(data: bytes) -> RunRecord:
    fields = json.loads(data)
    folders = [fields[name] for name in ("source", "target", "real_source", "real_target")]
    if not all(isinstance(folder, str) and Path(folder).is_absolute() for folder in folders):
        raise ValueError(f"unexpected folders: {folders}")
    created = journal_fields.parse_folders(fields["created"])
    source, target, real_source, real_target = folders
    return RunRecord(source, target, real_source, real_target, tuple(created))


def _remove_oldest(folder: Path) -> None:
    records = list(folder.glob("*.json"))
    if len(records) < _MAX_RECORDS:
        return
    records.sort(key=lambda path: path.stat().st_mtime_ns)
    for path in records[: len(records) + 1 - _MAX_RECORDS]:
        path.unlink(missing_ok=True)
