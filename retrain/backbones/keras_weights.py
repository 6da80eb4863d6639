"""Files of weights that Keras wrote: what is in them, and how they get into a network.

Keras has three kinds: HDF5 with the layers' names in an attribute, as Keras 1 and 2 wrote it and as
the published weights are; HDF5 after the structure of the model (`.weights.h5`); and a ZIP archive
with such a file in it (`.keras`). Which one a file is shows in what it holds, not in its name.
"""

import contextlib
import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from retrain.system.text import first_line

_IN_ARCHIVE = "model.weights.h5"
# In a file of a whole model of Keras 2, the weights of its layers.
_WHOLE_MODEL = "model_weights"
_LAYER_NAMES = "layer_names"
_OF_TRAINING = ("optimizer", "optimizer_weights")


class WeightsError(Exception):
    """The file does not hold weights, or not those of the network; the message says why."""


def count_parameters(path: Path) -> int:
    """Returns how many numbers the layers in the file have together.

    Raises:
        WeightsError: Keras wrote no such file.
        OSError: it cannot be read.
    """
    with _opened(path) as file:
        sizes: list[int] = []

        def add(_: str, item: Any) -> None:
            # Others are seeds.
            if np.issubdtype(getattr(item, "dtype", np.int64), np.floating):
                sizes.append(item.size)

        for name in file:
            if name not in _OF_TRAINING:
                _visit(file[name], add)
        return sum(sizes)


def load(network: Any, path: Path) -> None:
    """Puts the weights in the file into a Keras model.

    Raises:
        WeightsError: they are not of this network.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        zipped = zipfile.is_zipfile(file)
    suffix = ".keras"
    if not zipped:
        with _opened(path) as content:
            suffix = ".h5" if _LAYER_NAMES in content.attrs else ".weights.h5"
    # Keras passes over what is missing in some files, and leaves there what was there before.
    network.set_weights([np.full_like(weights, np.nan) for weights in network.get_weights()])
    with tempfile.TemporaryDirectory() as folder:
        # Keras goes by the name, which the user may have changed.
        named = Path(folder, f"model{suffix}")
        named.symlink_to(path.absolute())
        try:
            network.load_weights(named)
        # What Keras raises depends on what it stumbles over.
        except Exception as error:
            raise WeightsError(first_line(error)) from error
    if not all(np.isfinite(weights).all() for weights in network.get_weights()):
        raise WeightsError("some of its numbers are missing or not finite")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Yields the part of the file with the layers, as h5py shows it."""
    import h5py

    try:
        with path.open("rb") as plain:
            source: Any = plain
            if zipfile.is_zipfile(plain):
                with zipfile.ZipFile(plain) as archive:
                    source = io.BytesIO(archive.read(_IN_ARCHIVE))
            with h5py.File(source, "r") as file:
                yield file.get(_WHOLE_MODEL, file)
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"it is an archive without {_IN_ARCHIVE}") from error
    except OSError as error:
        # h5py has no other exception for what is not its format.
        if error.errno is not None:
            raise
        raise WeightsError("it is not of HDF5, the format of Keras's weights") from error


def _visit(item: Any, add: Any) -> None:
    if hasattr(item, "visititems"):
        item.visititems(add)
    else:
        add(item.name, item)
