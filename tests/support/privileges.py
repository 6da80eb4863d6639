"""Takes the rights of root from a process, so that tests of permissions work for root too."""

import ctypes
import os
import sys

# <linux/capability.h> and <linux/prctl.h>.
_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_PR_CAPBSET_DROP = 24


def drop() -> None:
    """Gives up the capabilities of root, such as opening files that their permissions forbid.

    Becoming another user would be simpler, but there is no other user in Bazel's sandbox. See
    capabilities(7) and capset(2).
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    # Otherwise programs that this process starts would get them back.
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    if libc.capset(header, none):
        raise OSError(ctypes.get_errno(), "capset failed")
