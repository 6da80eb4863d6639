"""Reads weights from all kinds of files that Keras wrote.

There are three kinds: HDF5 files with the names of the layers in an attribute, which Keras 1 and 2
wrote and which contain the published weights; HDF5 files with the structure of the model
(`.weights.h5`); and ZIP archives that contain such a file (`.keras`). The kind is detected from the
content, not from the file name.
"""

import contextlib
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from retrain.model_limits import LIMITS
from retrain.runtimes.hdf5_check import KERAS_WEIGHTS, check_hdf5
from retrain.runtimes.runtime import ModelError
from retrain.system.files import archives
from retrain.system.files.regular_files import open_regular_file
from retrain.system.outputs.temporary_folders import temporary_folder
from retrain.system.text import first_line

# Group with the weights in a file with a whole model of Keras 2.
_WEIGHTS_GROUP = "model_weights"
_LAYER_NAMES = "layer_names"
_OPTIMISER_GROUPS = ("optimizer", "optimizer_weights")


class WeightsError(Exception):
    """The file does not contain the weights of the network. The message says why."""


def count_parameters(path: Path) -> int:
    """Returns the number of weights of all layers in a file.

    Raises:
        WeightsError: If Keras did not write the file.
        OSError: If the file cannot be read.
    """
    with _open_layers(path) as layers:
        sizes: list[int] = []

        def add_size(_: str, item: Any) -> None:
            # The states of random number generators are integers.
            if np.issubdtype(getattr(item, "dtype", np.int64), np.floating):
                sizes.append(item.size)

        for name in layers:
            if name not in _OPTIMISER_GROUPS:
                _visit(layers[name], add_size)
        return sum(sizes)


def load(model: Any, path: Path) -> None:
    """Loads the weights in a file into a Keras model.

    Raises:
        WeightsError: If the weights do not fit the model, or are not finite.
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        suffix = ".keras" if zipfile.is_zipfile(file) else None
    if suffix is None:
        with _open_layers(path) as layers:
            suffix = ".h5" if _LAYER_NAMES in layers.attrs else ".weights.h5"
    # For some files, Keras silently skips missing weights. They are detected below.
    model.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])
    with temporary_folder() as folder:
        # Keras detects the kind from the file name, which the user may have changed.
        link = Path(folder, f"model{suffix}")
        link.symlink_to(path.absolute())
        try:
            model.load_weights(link)
        # Keras raises exceptions of many types for a file that does not fit.
        except Exception as error:
            raise WeightsError(first_line(error)) from error
    if not all(np.isfinite(weights).all() for weights in model.get_weights()):
        raise WeightsError("some of its weights are missing or not finite")


@contextlib.contextmanager
def _open_layers(path: Path) -> Iterator[Any]:
    """Yields the HDF5 group that contains the layers."""
    import h5py

    try:
        with open_regular_file(path) as file:
            source: Any = file
            if zipfile.is_zipfile(file):
                source = io.BytesIO(_read_from_archive(file))
            check_hdf5(source)
            with h5py.File(source, "r") as content:
                yield content.get(_WEIGHTS_GROUP, content)
    except WeightsError:
        raise
    except ModelError as error:
        raise WeightsError(str(error)) from error
    except OSError as error:
        # h5py raises an OSError without a number if the format is not HDF5.
        if error.errno is not None:
            raise
        raise WeightsError("it is not an HDF5 file, the format of Keras's weights") from error
    # h5py raises exceptions of many types for damaged files.
    except Exception as error:
        raise WeightsError(f"it is damaged ({first_line(error)})") from error


def _read_from_archive(file: IO[bytes]) -> bytes:
    try:
        with archives.open_zip(file) as archive:
            return archives.read_zip_entry(archive, KERAS_WEIGHTS, LIMITS.unpacked_bytes)
    except archives.ArchiveError as error:
        raise WeightsError(str(error)) from error
    except KeyError as error:
        raise WeightsError(f"it is an archive without {KERAS_WEIGHTS}") from error


def _visit(item: Any, visit: Callable[[str, Any], None]) -> None:
    """Calls a function with the name and value of a dataset, or of each dataset in a group."""
    if hasattr(item, "visititems"):
        item.visititems(visit)
    else:
        visit(item.name, item)
