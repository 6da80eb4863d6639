"""Removes what killed runs left behind in a folder."""

import contextlib
import os
from pathlib import Path

from retrain.system.outputs.commit import locked_outputs
from retrain.system.outputs.journal import is_journal_name, open_own_journal
from retrain.system.outputs.unfinished import settle_folder
from retrain.system.outputs.workspace import (
    Workspace,
    find_workspaces,
    is_workspace_name,
    remove_if_abandoned,
)


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
    abandoned = find_workspaces(folder)
    if not abandoned:
        return
    with contextlib.suppress(OSError), locked_outputs([folder]):
        # A run that is killed now, before its files are restored, would need its workspace.
        for workspace in abandoned:
            remove_if_abandoned(workspace)


def is_leftover_name(name: str) -> bool:
    """Returns whether a file or folder with this name is one that a killed run leaves behind."""
    return is_workspace_name(name) or is_journal_name(name)


def make_workspace(parent: Path) -> Workspace:
    """Creates a workspace, and removes those of killed runs.

    Raises:
        OSError: If the parent folder cannot be written.
        UserError: As for `remove_leftovers`.
    """
    remove_leftovers(parent)
    return Workspace(parent)
