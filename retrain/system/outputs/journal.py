"""The journal of a run that is replacing files and folders, from which the old ones are restored.

A journal can come from anyone, in a shared folder or in an archive. It only ever restores what a
workspace of the same user in the same folder contains, and only if the inode numbers of the folder
and of the new file are those that the run has written down, which nobody can know in advance.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrain.system.outputs.replacement import Replacement
from retrain.system.outputs.workspace import is_workspace_name


@dataclass(frozen=True)
class OutputJournal:
    """Replacements that are all made, or none of them.

    Attributes:
        folders: Folders with outputs and their inode numbers. The first one decides.
        replacements: All replacements, in the order in which they are made.
    """

    folders: tuple[tuple[Path, int], ...]
    replacements: tuple[Replacement, ...]

    def names(self, path: Path) -> bool:
        """Returns whether it replaces a path."""
        return any(replacement.path == path for replacement in self.replacements)

    def to_bytes(self) -> bytes:
        """Returns the journal as JSON."""
        order = [folder for folder, _ in self.folders]
        rows = [
            [order.index(r.folder), r.name, r.workspace, r.slot, r.is_folder, r.inode]
            for r in self.replacements
        ]
        folders = [[str(folder), inode] for folder, inode in self.folders]
        return json.dumps({"folders": folders, "replacements": rows}).encode()


def parse_journal(data: bytes, folder: Path) -> OutputJournal | None:
    """Returns a journal that was in a folder, or None if it is damaged or of another folder."""
    try:
        return _parse(json.loads(data), folder)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None


def _parse(fields: Any, here: Path) -> OutputJournal | None:
    inode_here = here.stat().st_ino
    # This folder can have been moved, or have another path in this container.
    folders = [
        (here if inode == inode_here else Path(_name(path)), _number(inode))
        for path, inode in fields["folders"]
    ]
    replacements = [
        Replacement(
            folder=folders[_number(index)][0],
            name=_plain_name(name),
            workspace=_plain_name(workspace),
            slot=_plain_name(slot),
            is_folder=is_folder is True,
            inode=_number(inode),
        )
        for index, name, workspace, slot, is_folder, inode in fields["replacements"]
    ]
    is_valid = any(inode == inode_here for _, inode in folders) and all(
        is_workspace_name(r.workspace) and r.slot.isdigit() for r in replacements
    )
    return OutputJournal(tuple(folders), tuple(replacements)) if is_valid else None


def _name(value: Any) -> str:
    if not isinstance(value, str) or b"\0" in os.fsencode(value):
        raise TypeError
    return value


def _plain_name(value: Any) -> str:
    if _name(value) in ("", ".", "..") or Path(value).name != value:
        raise ValueError
    return str(value)


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value
