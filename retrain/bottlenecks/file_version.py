"""Recognises files that did not change since they were last read, without reading them again."""

import os
from pathlib import Path
from typing import NamedTuple

# Largest step in which file systems store times.
SETTLING_NS = 2_000_000_000


class FileVersion(NamedTuple):
    """Attributes of a file that change whenever the content changes.

    Read the version of the open file (`os.fstat`) before the content. If the file is written in
    between, the old version is stored with the new content, and no later run finds it.

    Attributes:
        device: Device that contains the file.
        inode: Inode of the file.
        size: Size in bytes.
        mtime_ns: Time of the last change of the content, in nanoseconds.
        ctime_ns: Time of the last change of content or attributes, in nanoseconds.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def from_stat(cls, status: os.stat_result) -> "FileVersion":
        """Returns the version of the file that `os.stat` described."""
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )

    @classmethod
    def of(cls, path: Path) -> "FileVersion | None":
        """Returns the version of the file at `path`, or None if there is none."""
        try:
            return cls.from_stat(path.stat())
        except OSError:
            return None

    def is_settled(self, now_ns: int) -> bool:
        """Returns whether every change after `now_ns` is certain to change the version.

        File systems store times in steps of up to 2 s (FAT). A file that is written twice within
        a step can have the same version with different content. A version should therefore not be
        stored before its step is over. Git calls such files "racily clean":
        https://git-scm.com/docs/racy-git

        Args:
            now_ns: `time.time_ns()` before the version was read. With a later time, changes
                between the reading and that time would go unnoticed.
        """
        return max(self.mtime_ns, self.ctime_ns) < now_ns - SETTLING_NS
