"""Gives memory back to the system as soon as it is free."""

import contextlib
import ctypes

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def give_back_early() -> None:
    """Has the C library hand what large images took back at once; without glibc, does nothing.

    By itself, it would keep up to 64 MB for each of a dozen threads, once each decoded a large
    image: https://www.gnu.org/software/libc/manual/html_node/Malloc-Tunable-Parameters.html
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        # What an image of the network's size takes is kept: to get it anew each time costs time.
        mallopt(_M_MMAP_THRESHOLD, 4 * 2**20)
        mallopt(_M_TRIM_THRESHOLD, 16 * 2**20)
        mallopt(_M_ARENA_MAX, 2)
