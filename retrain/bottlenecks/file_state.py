"""Recognises files that did not change since they were last read, without reading them again."""

import os
from typing import NamedTuple

_SETTLING_NS = 2_000_000_000


class FileState(NamedTuple):
    """File attributes that change whenever the content of the file changes.

    Read the state of the open file (`os.fstat`) before the content: if the file is written in
    between, the stored state is the old one, which no later run finds.

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
    def from_stat(cls, status: os.stat_result) -> "FileState":
        """Returns the state in the result of `os.stat`."""
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )

    def is_settled(self, now_ns: int) -> bool:
        """Returns whether every change after `now_ns` is certain to change the state.

        File systems store times in steps of up to 2 s (FAT). A file that is written twice within
        a step can have the same state with different content. A state should therefore not be
        stored before its step is over. Git calls such files "racily clean":
        https://git-scm.com/docs/racy-git

        Args:
            now_ns: `time.time_ns()` before the state was read. With a later time, changes between
                the reading and that time would go unnoticed.
        """
        return max(self.mtime_ns, self.ctime_ns) < now_ns - _SETTLING_NS
