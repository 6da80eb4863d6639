"""Creates files that belong to another user, for tests of what others can put into a folder."""

import os
import subprocess
import unittest
from pathlib import Path

# These do not have to exist.
USER = 54321
_GROUP = 54322


def make_folder(test: unittest.TestCase, path: Path) -> None:
    """Creates a folder of another user, or skips the test if only root could do this."""
    _run(test, "mkdir", path)


def make_file(test: unittest.TestCase, path: Path) -> None:
    """Creates an empty file of another user, or skips the test if only root could do this."""
    _run(test, "touch", path)


def make_link(test: unittest.TestCase, path: Path, target: Path) -> None:
    """Creates a symbolic link of another user, or skips the test if only root could do this."""
    _run(test, "ln", "-s", target, path)


def give_to_group(test: unittest.TestCase, path: Path) -> None:
    """Gives a file to a group of several users, or skips the test if only root could do this."""
    _require_root(test)
    os.chown(path, -1, _GROUP)


def _run(test: unittest.TestCase, *command: object) -> None:
    _require_root(test)
    subprocess.run([*map(str, command)], check=True, user=USER, group=USER, extra_groups=())


def _require_root(test: unittest.TestCase) -> None:
    if os.geteuid() != 0 or not _can_become_another_user():
        test.skipTest("only root can create files of another user")


def _can_become_another_user() -> bool:
    """Returns whether there are other users, which is not the case in Bazel's sandbox."""
    try:
        subprocess.run(["true"], check=True, user=USER, group=USER, extra_groups=())
    except (OSError, subprocess.SubprocessError):
        return False
    return True
