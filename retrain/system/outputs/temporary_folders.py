"""Creates folders for temporary files, which the next run removes if this one is killed."""

import atexit
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from retrain.errors import UserError
from retrain.system.outputs.leftovers import remove_leftovers
from retrain.system.outputs.workspace import Workspace


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
