"""Images in an `.npz` file of arrays, as MNIST and its like are handed on."""

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from retrain.data import pixels
from retrain.errors import UserError
from tools.keras_training.examples import Data, Examples, room
from tools.keras_training.image_folders import SHOWN, Shape, in_channels

SUFFIX = ".npz"

_NAMES = ("x_train", "y_train", "x_test", "y_test")
_HELP = (
    "it must have x_train and x_test, uint8 [N, height, width] or [N, height, width, 3], and "
    "y_train and y_test, the numbers of their classes"
)

_Arrays = dict[str, np.ndarray]


def read(path: Path) -> _Arrays:
    """Returns the arrays x_train, y_train, x_test and y_test.

    Raises:
        UserError: the file cannot be read, or has no such arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _NAMES}
    except KeyError as error:
        raise UserError(f"--train_dir={path} lacks an array ({error.args[0]}); {_HELP}") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(f"--train_dir={path} cannot be read: {why}; {_HELP}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"--train_dir={path} is not a file of arrays; {_HELP}") from error
    for part in ("train", "test"):
        _check(path, arrays, part)
    unknown = set(arrays["y_test"].tolist()) ^ set(arrays["y_train"].tolist())
    if unknown:
        raise UserError(
            f"--train_dir={path} has class {min(unknown)} in one of y_train and y_test only; "
            "both need the same classes"
        )
    return arrays


def _check(path: Path, arrays: _Arrays, part: str) -> None:
    x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
    images = x.dtype == np.uint8 and (x.ndim == 3 or (x.ndim == 4 and x.shape[3] in (1, 3)))
    if not images or not x.size:
        raise UserError(f"--train_dir={path}: x_{part} is {x.dtype} {list(x.shape)}; {_HELP}")
    if y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer):
        raise UserError(
            f"--train_dir={path}: y_{part} is {y.dtype} {list(y.shape)}, x_{part} has {len(x)} "
            f"images; {_HELP}"
        )
    if len(np.unique(y)) < 2:
        raise UserError(f"--train_dir={path}: y_{part} has one class only; {_HELP}")


def is_grey(arrays: _Arrays) -> bool:
    """Tells whether the images have no colours."""
    return arrays["x_train"].ndim == 3 or arrays["x_train"].shape[3] == 1


def load(arrays: _Arrays, shape: Shape) -> Data:
    """Returns the images, resized where they are not of that shape.

    The classes' numbers are their labels.

    Args:
        arrays: from `read`.
        shape: that the network takes.
    """
    numbers = np.unique(arrays["y_train"])
    labels = tuple(str(number) for number in numbers)
    train, validation = (
        Examples(
            _shaped(arrays[f"x_{part}"], shape),
            np.searchsorted(numbers, arrays[f"y_{part}"]).astype(np.int64),
        )
        for part in ("train", "test")
    )
    return Data(labels, labels, train, validation, train.sample(SHOWN))


def _shaped(images: np.ndarray, shape: Shape) -> np.ndarray:
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.shape[1:] == shape:
        return images
    result = room((len(images), *shape))
    for row, image in enumerate(images):
        colours = Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3)).copy())
        resized = pixels.resize(colours, shape.height, shape.width)
        result[row] = in_channels(resized, shape.channels)
    return result
