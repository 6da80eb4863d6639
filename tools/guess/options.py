"""What guess_dir is to do, and whether it can be done at all."""

import os
from dataclasses import dataclass
from pathlib import Path

from retrain.errors import UserError
from retrain.system.files import check_writable
from tools.guess import placing, results_file


@dataclass(frozen=True)
class Options:
    """How the images of a folder are filed.

    Attributes:
        source: the folder with the images, absolute.
        target: the folder to file them in, absolute; it need not exist.
        recursive: whether those in the folders of `source` are filed, too.
        by_folder: whether an image keeps its name, in a folder of its class; otherwise its new
            name says class and score.
        how: `placing.COPY`, `MOVE`, `HARD` or `SYMBOLIC`.
        unsure_below: the score below which an image is filed as an unsure one, 0 to 1.
        dry_run: whether nothing is filed, only said where.
        results: where to write what became of each image.
    """

    source: Path
    target: Path
    recursive: bool = False
    by_folder: bool = False
    how: str = placing.COPY
    unsure_below: float = 0.0
    dry_run: bool = False
    results: Path | None = None

    @property
    def in_place(self) -> bool:
        """Whether source and target are the same folder."""
        return self.target.exists() and self.target.samefile(self.source)


def check(options: Options) -> None:
    """Raises UserError where the folders do not allow what is to be done."""
    if not options.source.exists():
        raise UserError(f"the folder {options.source} is not there; name one with images")
    if not options.source.is_dir():
        raise UserError(
            f"{options.source} is a file; name a folder, or label one image with label_image"
        )
    if options.target.exists() and not options.target.is_dir():
        raise UserError(f"{options.target} is a file; name a folder for the images")
    if options.in_place:
        _check_in_place(options)
    if options.how == placing.HARD and _device(options.source) != _device(options.target):
        raise UserError(
            f"--link=hard does not lead from {options.target} to another file system, where "
            f"{options.source} is; use --link=symbolic, or copy"
        )
    if options.how == placing.MOVE and not os.access(options.source, os.W_OK | os.X_OK):
        raise UserError(
            f"--move cannot take images out of {options.source}, where you may not write; "
            "leave the flag out to copy them"
        )
    if options.results is not None:
        results_file.check_format(options.results)
        check_writable(options.results, "results")


def _check_in_place(options: Options) -> None:
    if options.recursive:
        raise UserError(
            f"{options.target} is the folder of the images itself, whose folders --recursive "
            "would file again; name another folder"
        )
    if options.how != placing.MOVE and not options.by_folder:
        raise UserError(
            f"{options.target} is the folder of the images itself; name another one, or use "
            "--move to rename them there or --by_folder to sort them into folders in it"
        )


def _device(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return folder.stat().st_dev
