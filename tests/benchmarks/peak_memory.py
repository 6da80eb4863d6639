"""Measures the peak resident memory of processes."""

import sys

# The unit of ru_maxrss: https://man7.org/linux/man-pages/man2/getrusage.2.html
_BYTES = 1 if sys.platform == "darwin" else 1024


def of_this_process() -> int:
    """Returns the peak resident memory of this process, in bytes."""
    import resource  # Not on Windows.

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES


def of_child_processes() -> int:
    """Returns the peak resident memory of the largest finished child process, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _BYTES
