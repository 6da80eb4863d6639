"""Removes what killed runs left behind in a folder."""

import atexit
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from retrain.errors import UserError
from retrain.system.locked_outputs import locked_outputs
from retrain.system.output_journal import is_journal_name, open_own_journal
from retrain.system.unfinished_outputs import settle_folder
from retrain.system.workspace import (
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


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yields an empty folder that is removed at the end of the block, or by the next run.

    Raises:
        OSError: If the system's folder for temporary files cannot be written.
    """
    parent = Path(tempfile.gettempdir())
    # Others can write to this folder, and must not be able to stop this program there.
    with contextlib.suppress(UserError):
        remove_leftovers(parent)
    workspace = Workspace(parent)
    try:
        yield workspace.new_path("files").parent
    finally:
        workspace.remove()


@contextlib.contextmanager
def temporary_files_of_libraries() -> Iterator[None]:
    """Lets libraries create temporary files in a folder that is removed when the program exits.

    If the program is killed, the next run removes it. Without a place for the folder, libraries
    create the files where they want.
    """
    with contextlib.ExitStack() as cleanup:
        with contextlib.suppress(OSError, UserError):
            # Libraries remove their own files when the program exits. Their functions are
            # registered later, so they are called before this one.
            at_exit = contextlib.ExitStack()
            folder = at_exit.enter_context(temporary_folder())
            atexit.register(at_exit.close)
            cleanup.callback(setattr, tempfile, "tempdir", tempfile.tempdir)
            tempfile.tempdir = str(folder)
        yield
