"""Checks that an HDF5 file of weights holds its own data, and not more than its size allows."""

from typing import Any

from retrain.model_limits import LIMITS
from retrain.runtimes.runtime import ModelError
from retrain.system.text import one_line


def check_hdf5(content: Any, packed: int) -> None:
    """Checks all groups and datasets of a file, without reading the data.

    HDF5 files can refer to other files, whose content would become weights, and can state sizes
    for which they hold no data.

    Args:
        content: An open `h5py.File`.
        packed: Size of the file in bytes.

    Raises:
        ModelError: If something in the file is elsewhere, or all of it is too large.
    """
    import h5py

    pending, visited, size = [content], set(), 0
    while pending:
        group = pending.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in visited:
            continue
        visited.add(address)
        for name in group:
            is_link = group.get(name, getclass=True, getlink=True) is not h5py.HardLink
            item = None if is_link else group[name]
            if isinstance(item, h5py.Group):
                pending.append(item)
            elif isinstance(item, h5py.Dataset):
                is_link = bool(item.external) or item.is_virtual
                size += item.nbytes
            if is_link:
                raise ModelError(f"its {one_line(name[:80])} refers to data somewhere else")
            if size > LIMITS.unpacked(packed):
                raise ModelError(
                    f"its {packed:,} bytes state more than {LIMITS.unpacked(packed):,} bytes of "
                    "weights"
                )
