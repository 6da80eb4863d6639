"""Counts the processors that this process can use, within the limits of its container."""

import contextlib
import math
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc/self")


def processor_count(*, proc: Path = _PROC) -> int:
    """Returns the number of processors that this process can use, at least 1.

    This is the number of processors in its affinity mask or its CPU quota, rounded up, whichever is
    smaller. `PYTHON_CPU_COUNT` and `-X cpu_count`, which Python 3.13 introduced, take precedence.

    Args:
        proc: Folder that describes this process, for tests.
    """
    requested = sys._xoptions.get("cpu_count") or os.environ.get("PYTHON_CPU_COUNT", "")
    if str(requested).isdecimal() and int(requested) > 0:
        return int(requested)
    quota = min(_quotas(proc), default=math.inf)
    return max(1, math.ceil(min(_schedulable(), quota)))


def _schedulable() -> int:
    """Returns the number of processors that the scheduler can give to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Hierarchy(NamedTuple):
    """A mounted hierarchy of control groups that can limit the use of processors.

    Attributes:
        kind: "cgroup" for version 1, or "cgroup2".
        root: Path of the group that is mounted.
        mount_point: Folder where this group is mounted.
    """

    kind: str
    root: str
    mount_point: Path


def _quotas(proc: Path) -> Iterator[float]:
    """Yields the CPU quotas of all control groups that this process is in, in processors.

    See https://docs.kernel.org/admin-guide/cgroup-v2.html, cgroups(7) and, for the format of
    mountinfo, proc(5). Only Linux has these files.
    """
    with contextlib.suppress(OSError, ValueError):
        hierarchies = list(_hierarchies((proc / "mountinfo").read_text()))
        for line in (proc / "cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            kind = "cgroup" if controllers else "cgroup2"
            for hierarchy in hierarchies:
                if hierarchy.kind == kind:
                    for folder in _folders(hierarchy, group):
                        yield from _quota(folder)


def _hierarchies(mountinfo: str) -> Iterator[_Hierarchy]:
    for line in mountinfo.splitlines():
        fields, _, source = line.partition(" - ")
        _, _, _, root, mount_point, *_ = fields.split(" ")
        kind, _, options = source.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and "cpu" in options.split(",")):
            yield _Hierarchy(kind, _unescape(root), Path(_unescape(mount_point)))


def _unescape(path: str) -> str:
    """Decodes spaces and backslashes, which mountinfo writes as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _folders(hierarchy: _Hierarchy, group: str) -> Iterator[Path]:
    """Yields the folders of a group and of its ancestors, as far as they are mounted.

    A container can see its own group as the root, or only a part of the hierarchy.
    """
    mount_point = hierarchy.mount_point
    folder = Path(group)
    if folder.is_relative_to(hierarchy.root) and ".." not in folder.parts:
        below = folder.relative_to(hierarchy.root)
        yield from (mount_point / part for part in (below, *below.parents) if part != Path())
    yield mount_point


def _quota(folder: Path) -> Iterator[float]:
    """Yields the quota of one group, if it has one."""
    with contextlib.suppress(FileNotFoundError):
        quota, period = (folder / "cpu.max").read_text().split()
        if quota != "max":
            yield int(quota) / int(period)
    with contextlib.suppress(FileNotFoundError):
        microseconds = int((folder / "cpu.cfs_quota_us").read_text())
        if microseconds > 0:
            yield microseconds / int((folder / "cpu.cfs_period_us").read_text())
