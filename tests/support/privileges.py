"""Makes a process as powerless as that of a user, also where root runs the tests."""

import ctypes
import os
import sys

_VERSION_3 = 0x20080522
_PR_CAPBSET_DROP = 24


def drop() -> None:
    """Gives up the capabilities of root, above all to open what its mode forbids.

    To become another user, which would be simpler, is not possible in Bazel's sandbox: no other
    user exists there. See capabilities(7), capset(2).
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    # Or root would get them back from whatever it starts.
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    if libc.capset(header, none):
        raise OSError(ctypes.get_errno(), "capset failed")
