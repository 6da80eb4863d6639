"""The arguments of programs that read the images of one folder and write to another one."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from retrain.errors import UserError
from retrain.system.files.path_owners import find_intruder
from retrain.system.files.user_paths import user_path

# The flag belongs to the program that calls `define_recursive`.
flags.disclaim_key_flags()


def define_recursive() -> flags.FlagHolder[bool]:
    """Defines --recursive."""
    return flags.DEFINE_boolean(
        "recursive", False, "Whether to search the sub-folders of SRC as well, except DEST."
    )


def parse(arguments: Sequence[str], purpose: str) -> tuple[Path, Path]:
    """Returns the absolute paths of SRC and DEST. DEST does not have to exist.

    Args:
        arguments: Arguments of the command line.
        purpose: What DEST is for, such as "the heat maps".

    Raises:
        UserError: If there are not two arguments, one is empty, SRC is not a folder, or DEST cannot
            be one or belongs to another user in a folder that everyone can write to.
    """
    if len(arguments) != 2 or "" in arguments:
        raise UserError(
            f"expected two folders, one with images and one for {purpose}; "
            f"received: {' '.join(each or repr(each) for each in arguments) or 'none'}"
        )
    source, target = map(user_path, arguments)
    if not source.exists():
        raise UserError(f"the folder {source} does not exist; choose a folder with images")
    if not source.is_dir():
        raise UserError(
            f"{source} is a file; choose a folder, or use label_image for a single image"
        )
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file; choose a folder for {purpose}")
    if reason := find_intruder(target):
        raise UserError(f"{target} cannot be used: {reason}; choose another folder")
    return source, target
