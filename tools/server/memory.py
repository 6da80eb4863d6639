"""Makes the C library return freed memory to the operating system."""

import contextlib
import ctypes

# Parameters of mallopt, from glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def limit_malloc_caches() -> None:
    """Makes glibc return the memory of large images at once. Does nothing without glibc.

    By default, glibc would keep up to 64 MB for each of a dozen threads after each of them decoded
    a large image: https://www.gnu.org/software/libc/manual/html_node/Malloc-Tunable-Parameters.html
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        # Images of the network's input size stay below this, because mapping memory takes time.
        mallopt(_M_MMAP_THRESHOLD, 4 * 2**20)
        mallopt(_M_TRIM_THRESHOLD, 16 * 2**20)
        mallopt(_M_ARENA_MAX, 2)
