"""Removes the workspaces of killed runs from a folder."""

import contextlib
import os
import stat
from pathlib import Path

from retrain.system.files.locks import try_lock
from retrain.system.files.path_owners import current_user
from retrain.system.outputs.journal_files import is_journal_name, open_own_journal, peek_journal
from retrain.system.outputs.unfinished import settle_folder
from retrain.system.outputs.workspace import is_workspace_name, lock_file, remove_workspace


def remove_leftovers(folder: Path) -> None:
    """Removes the workspaces of this user's killed runs in a folder, if it can be written.

    Raises:
        UserError: If a run was killed while it replaced files, and they cannot be restored, or if
            somebody else's file has the name of the journal.
    """
    with contextlib.suppress(OSError):
        # What others have put there is found before a run.
        os.close(open_own_journal(folder, os.O_RDWR))
    settle_folder(folder)
    for workspace in _find_workspaces(folder):
        with contextlib.suppress(OSError):
            _remove_if_abandoned(workspace)


def is_leftover_name(name: str) -> bool:
    """Returns whether a file or folder with this name is one that a killed run leaves behind."""
    return is_workspace_name(name) or is_journal_name(name)


def is_needed(workspace: Path) -> bool:
    """Returns whether files in a workspace of this user have to be restored by `unfinished`."""
    try:
        journal = peek_journal(workspace.parent, current_user())
    except OSError:
        return True
    return journal is not None and any(
        replacement.workspace == workspace.name for replacement in journal.replacements
    )


def _find_workspaces(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if is_workspace_name(entry.name)]
    return []


def _remove_if_abandoned(workspace: Path) -> None:
    """Removes a workspace of this user if it is certain that no process uses it."""
    status = workspace.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != current_user():
        return
    try:
        lock = os.open(lock_file(workspace), os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        workspace.rmdir()  # Fails if it is not empty: something else created it.
        return
    try:
        # If the lock is free, the run has ended, and its workspace is in no later journal.
        if try_lock(lock, without_locks=False) and not is_needed(workspace):
            remove_workspace(workspace)
    finally:
        os.close(lock)
