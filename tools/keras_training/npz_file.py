"""Reads images from an `.npz` file like `mnist.npz`."""

import hashlib
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from retrain.bottlenecks.duplicates import DigestedImage, warn_of_equal_images
from retrain.data import pixels
from retrain.data.splits import TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.metadata import STRETCH
from retrain.system.files import archives
from retrain.system.files.regular_files import open_regular_file
from retrain.system.text import first_line
from tools.keras_training.examples import Examples, TrainingData, allocate_images
from tools.keras_training.image_folders import PREVIEW_SIZE, convert_channels
from tools.keras_training.image_shape import ImageShape

SUFFIX = ".npz"

_NAMES = ("x_train", "y_train", "x_test", "y_test")
_HEADS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_EXPECTED = (
    "it must have x_train and x_test, uint8 [N, height, width] or [N, height, width, 3], and "
    "y_train and y_test, integer class numbers [N]"
)

Arrays = dict[str, np.ndarray]


def read(path: Path) -> Arrays:
    """Returns the arrays `x_train`, `y_train`, `x_test` and `y_test`.

    Raises:
        UserError: If the file cannot be read, or if it lacks these arrays.
    """
    try:
        with open_regular_file(path) as file, archives.open_zip(file) as archive:
            arrays = {name: _read_array(archive, f"{name}.npy") for name in _NAMES}
    except KeyError as error:
        missing = error.args[0]
        raise UserError(f"--train_dir={path} lacks an array ({missing}); {_EXPECTED}") from error
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise UserError(f"--train_dir={path} cannot be read: {reason}; {_EXPECTED}") from error
    except archives.ArchiveError as error:
        raise UserError(
            f"--train_dir={path} is not a file of arrays ({error}); {_EXPECTED}"
        ) from error
    for split in ("train", "test"):
        _check(path, arrays, split)
    different = set(arrays["y_test"].tolist()) ^ set(arrays["y_train"].tolist())
    if different:
        raise UserError(
            f"--train_dir={path} has class {min(different)} in only one of y_train and y_test; "
            "both need the same classes"
        )
    return arrays


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Returns an array, after checking that its head states the size that it has."""
    size = archive.getinfo(name).file_size
    with archive.open(name) as file:
        try:
            shape, _, dtype = _HEADS[np.lib.format.read_magic(file)](file)
        # NumPy raises exceptions of many types for damaged heads.
        except Exception as error:
            raise ValueError(f"{name} is damaged") from error
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != size - file.tell():
            raise ValueError(f"{name} states {dtype} {shape}, which is not what it contains")
    with archive.open(name) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _check(path: Path, arrays: Arrays, split: str) -> None:
    x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
    are_images = x.dtype == np.uint8 and (x.ndim == 3 or (x.ndim == 4 and x.shape[3] in (1, 3)))
    if not are_images or not x.size:
        raise UserError(f"--train_dir={path}: x_{split} is {x.dtype} {list(x.shape)}; {_EXPECTED}")
    if y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer):
        raise UserError(
            f"--train_dir={path}: y_{split} is {y.dtype} {list(y.shape)}, but x_{split} has "
            f"{len(x)} images; {_EXPECTED}"
        )
    if len(np.unique(y)) < 2:
        raise UserError(
            f"--train_dir={path}: y_{split} has only one class; at least two are needed"
        )


def count_classes(arrays: Arrays) -> int:
    """Returns the number of classes."""
    return len(np.unique(arrays["y_train"]))


def is_grey(arrays: Arrays) -> bool:
    """Returns whether the images have a single channel."""
    return arrays["x_train"].ndim == 3 or arrays["x_train"].shape[3] == 1


def load(arrays: Arrays, shape: ImageShape, *, fit: str = STRETCH) -> TrainingData:
    """Returns the images, converted to `shape`. The class numbers are the labels.

    Warns about equal images in two classes or in both splits.

    Args:
        arrays: Arrays from `read`.
        shape: Shape of the network's input images.
        fit: See `retrain.data.pixels.decode`.
    """
    class_numbers = np.unique(arrays["y_train"])
    labels = tuple(str(number) for number in class_numbers)
    warn_of_equal_images(_digest_all(arrays))
    train, validation = (
        Examples(
            _convert(arrays[f"x_{split}"], shape, fit=fit),
            np.searchsorted(class_numbers, arrays[f"y_{split}"]).astype(np.int64),
        )
        for split in ("train", "test")
    )
    return TrainingData(labels, labels, train, validation, train.sample(PREVIEW_SIZE))


def _digest_all(arrays: Arrays) -> Iterator[DigestedImage]:
    for name, split in (("train", TRAINING), ("test", VALIDATION)):
        images, class_numbers = arrays[f"x_{name}"], arrays[f"y_{name}"]
        size = repr(images.shape[1:]).encode()
        for row, (image, class_number) in enumerate(zip(images, class_numbers, strict=True)):
            digest = hashlib.sha256(size + image.tobytes()).digest()
            yield DigestedImage(f"x_{name}[{row}]", int(class_number), split, digest)


def _convert(images: np.ndarray, shape: ImageShape, *, fit: str) -> np.ndarray:
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.shape[1:] == shape:
        return images
    result = allocate_images(len(images), shape)
    for row, image in enumerate(images):
        rgb = Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3)).copy())
        resized = pixels.resize_to_fit(rgb, shape.height, shape.width, fit=fit)
        result[row] = convert_channels(resized, shape.channels)
    return result
