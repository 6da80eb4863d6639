"""TFLite files, run by LiteRT: with numbers of float32, or quantised to 8 bits."""

import io
import zipfile
from dataclasses import replace

import numpy as np

from retrain.metadata import MetadataError, from_json
from retrain.runtimes.graph_session import GraphError
from retrain.runtimes.litert import LiteRTError, LiteRTModel, Tensor
from retrain.runtimes.runtime import Channels, Description
from retrain.system.threads import processors

# Files that are appended to the network, as a ZIP archive:
# https://ai.google.dev/edge/litert/conversion/tensorflow/metadata
_LABELS_FILE = "labels.txt"
_METADATA_FILE = "retrain_metadata.json"

_IDENTIFIER = b"TFL3"
_QUANTISED = (np.uint8, np.int8)


def is_tflite(data: bytes) -> bool:
    """Tells whether the bytes of a file begin as those of a TFLite file do."""
    return data[4:8] == _IDENTIFIER


class TFLite:
    """A Runtime for a TFLite file of one image at a time."""

    takes_files = False
    batch_size = 1

    def __init__(self, data: bytes) -> None:
        """Loads the bytes of the file.

        Raises:
            GraphError: LiteRT cannot run it, or it does not take one image and give scores.
            MetadataError: what it says of itself cannot be read.
        """
        try:
            self._model = LiteRTModel(data)
        except LiteRTError as error:
            raise GraphError(str(error)) from error
        for tensor in (self._model.input, self._model.output):
            if tensor.dtype not in (np.float32, *_QUANTISED):
                raise GraphError(f"its numbers are {tensor.dtype}, not float32, uint8 or int8")
        shape = self._model.input.shape
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 3:
            raise GraphError(f"its input is {list(shape)}, not one image in colour")
        self.description = _description(data, self._model.input)
        self.workers = processors()

    def classify_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, classes] for float32 [N, height, width, 3], normalised."""
        try:
            return np.concatenate([self._classify(image[np.newaxis]) for image in pixels])
        except LiteRTError as error:
            raise GraphError(str(error)) from error

    def classify_file(self, data: bytes) -> np.ndarray:
        """Raises GraphError: it takes pixels alone."""
        raise GraphError("it takes pixels, not files")

    def _classify(self, image: np.ndarray) -> np.ndarray:
        output = self._model.run(_quantised(image, self._model.input))
        return _dequantised(output, self._model.output).reshape(1, -1)


def _quantised(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    if tensor.dtype == np.float32:
        return values
    limits = np.iinfo(tensor.dtype)
    numbers = np.rint(values / np.float32(_step(tensor))) + tensor.zero_point
    return np.clip(numbers, limits.min, limits.max).astype(tensor.dtype)


def _dequantised(numbers: np.ndarray, tensor: Tensor) -> np.ndarray:
    if tensor.dtype == np.float32:
        return numbers
    return (numbers.astype(np.float32) - tensor.zero_point) * np.float32(_step(tensor))


def _step(tensor: Tensor) -> float:
    """Returns what one more of a quantised number is worth; 1 where the file does not say."""
    return tensor.scale or 1.0


def _description(data: bytes, tensor: Tensor) -> Description:
    labels, text = _labels_and_metadata(data)
    mean, std = _mean_and_std(tensor)
    if text is None:
        _, height, width, _ = tensor.shape
        return Description(labels, height, width, mean, std)
    described = Description.of(from_json(text))
    # Bytes are pixels as they are; what the text says is how to normalise floating-point ones.
    return replace(described, mean=mean, std=std) if tensor.dtype == np.uint8 else described


def _labels_and_metadata(data: bytes) -> tuple[tuple[str, ...] | None, bytes | None]:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return None, None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = {
                name: archive.read(name)
                for name in (_LABELS_FILE, _METADATA_FILE)
                if name in archive.namelist()
            }
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise MetadataError(f"the files appended to it are damaged ({error})") from error
    try:
        labels = files.get(_LABELS_FILE, b"").decode().splitlines()
    except UnicodeDecodeError as error:
        raise MetadataError(f"its {_LABELS_FILE} is not a text in UTF-8") from error
    return tuple(labels) or None, files.get(_METADATA_FILE)


def _mean_and_std(tensor: Tensor) -> tuple[Channels | None, Channels | None]:
    """Returns what makes the numbers of a quantised input those of the image, 0 to 255."""
    if tensor.dtype == np.float32:
        return None, None
    lowest = np.iinfo(tensor.dtype).min
    mean = float(tensor.zero_point - lowest)
    return (mean,) * 3, (1 / _step(tensor),) * 3
