"""Explains errors of the SQLite file of the bottleneck cache to users."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from retrain.errors import UserError

# Time to wait for another program that uses the file.
TIMEOUT_SECONDS = 60.0

# Parts of SQLite's error messages, and the messages for the user. Error codes would be more
# reliable, but Python 3.10 does not have them.
_EXPLANATIONS = {
    "not a database": "is not a bottleneck cache ({}); use another folder or delete the file",
    "malformed": "is damaged ({}); delete it or use another folder",
    "unsupported file format": "is damaged ({}); delete it or use another folder",
    "too big": "is damaged ({}); delete it or use another folder",
    "disk is full": "cannot be written ({}); free disk space or use another folder",
    "disk I/O error": "cannot be used ({}); free disk space, or use a folder on a working local "
    "disk",
    "readonly": "cannot be written ({}); use a writable folder on a local disk",
    "unable to open": "cannot be opened ({}); use a writable folder on a local disk",
    "locking protocol": "cannot be locked ({}); use a folder on a local disk",
    "locked": f"was in use for {TIMEOUT_SECONDS:.0f} s ({{}}); stop the other program or use "
    "another folder",
}


@contextlib.contextmanager
def explain_errors(path: Path) -> Iterator[None]:
    """Raises UserError for the errors of SQLite that the user can fix."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        for part, explanation in _EXPLANATIONS.items():
            if part in str(error):
                raise user_error(path, explanation.format(error)) from error
        raise
    except UnicodeDecodeError as error:
        # Python cannot decode a message of SQLite about a damaged name.
        raise damage_error(path, error.object.decode(errors="replace")) from error


def damage_error(path: Path, reason: object) -> UserError:
    """Returns the error for a file whose content contradicts itself."""
    return user_error(path, f"is damaged ({reason}); delete it or use another folder")


def user_error(path: Path, explanation: str) -> UserError:
    """Returns the error that says this about a file."""
    return UserError(f"--bottleneck_dir={path.parent}: {path} {explanation}")
