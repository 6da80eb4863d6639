"""Holds the options of guess_dir and checks that the folders allow them."""

import os
from dataclasses import dataclass
from pathlib import Path

from retrain.errors import UserError
from retrain.system.outputs.checks import check_writable
from tools.transfers import results_file, transfer

# Subfolders of the target folder for images with low scores and for images of none of the classes.
UNSURE = "unsure"
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options for sorting the images of a folder.

    Attributes:
        source: Absolute path of the folder with the images.
        target: Absolute path of the folder for the sorted images. It is created if necessary.
        recursive: Whether to search the subfolders of `source`, too.
        by_folder: Whether an image keeps its name, in a subfolder for its label. Otherwise its new
            name consists of label and score.
        operation: `transfer.COPY`, `MOVE`, `HARD_LINK` or `SYMBOLIC_LINK`.
        unsure_below: Score, 0 to 1, below which an image goes to the subfolder `unsure`.
        dry_run: Whether to print the new paths only and change nothing.
        results: Path of the results file, None for no file.
    """

    source: Path
    target: Path
    recursive: bool = False
    by_folder: bool = False
    operation: str = transfer.COPY
    unsure_below: float = 0.0
    dry_run: bool = False
    results: Path | None = None

    @property
    def in_place(self) -> bool:
        """Whether source and target are the same folder."""
        return self.target.exists() and self.target.samefile(self.source)


def check(options: Options) -> None:
    """Raises UserError if the folders, which `folder_arguments` accepts, rule out the options."""
    source, target = options.source, options.target
    if options.in_place:
        _check_in_place(options)
    if options.operation == transfer.HARD_LINK and _device(source) != _device(target):
        raise UserError(
            f"--link=hard cannot link from {target} to {source}, which is on another file system; "
            "use --link=symbolic, or copy the images"
        )
    if options.operation == transfer.MOVE and not os.access(source, os.W_OK | os.X_OK):
        raise UserError(
            f"--move cannot move images out of {source}, which is not writable; "
            "omit --move to copy them"
        )
    if options.results is not None:
        results_file.check_format(options.results)
        check_writable(options.results, "results")


def _check_in_place(options: Options) -> None:
    if options.recursive:
        raise UserError(
            f"{options.target} is also the folder of the images, where --recursive would sort the "
            "same images again; choose another folder"
        )
    if options.operation != transfer.MOVE and not options.by_folder:
        raise UserError(
            f"{options.target} is also the folder of the images; choose another folder, add --move "
            "to rename the images, or add --by_folder to sort them into subfolders"
        )


def _device(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return folder.stat().st_dev
