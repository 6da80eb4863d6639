"""Programs that run a backbone: LiteRT and TensorFlow, in several precisions."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from retrain.backbones.spec import Backbone
from retrain.errors import UserError
from retrain.graph_session import GraphSession
from retrain.litert import LiteRTModel
from retrain.pixels import normalise
from retrain.runtime import processors

AUTO = "auto"
INT8 = "int8"
BFLOAT16 = "bfloat16"
FLOAT32 = "float32"
TENSORFLOW = "tensorflow"
NAMES = (AUTO, INT8, BFLOAT16, FLOAT32, TENSORFLOW)

# What the drivers of NVIDIA make on Linux. TensorFlow has no other GPUs there without a plug-in.
_GPU_DEVICE = Path("/dev/nvidiactl")

_PROCESSOR_FLAGS = Path("/proc/cpuinfo")
# Other processors know the format too, but are not faster with it.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}

_INT8 = np.iinfo(np.int8)


class Runner(Protocol):
    """A network that is loaded, and may be run by any number of threads.

    Attributes:
        batch_size: how many pictures a thread should give at a time.
        workers: how many threads keep it busy, decoding included.
    """

    batch_size: int
    workers: int

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, feature_width] for uint8 [N, height, width, 3], RGB."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """A way to run a backbone, which is not loaded yet.

    Attributes:
        name: one of NAMES, never AUTO.
        recipe: all of it that decides features, for their key in the cache.
        load: makes it ready.
    """

    name: str
    recipe: Mapping[str, str]
    load: Callable[[], Runner]


def chosen(name: str) -> str:
    """Returns the name of the engine to use: where `name` is AUTO, the fastest that loses nothing.

    Heads that were trained on bfloat16 features were as good on float32 ones as heads that were
    trained on those, int8 ones were not: tests/benchmarks/README.md has the numbers.

    Raises:
        UserError: there is no such engine, or not on this machine.
    """
    if name not in NAMES:
        raise UserError(f"--engine={name} is not known; choose one of: {', '.join(NAMES)}")
    if name == BFLOAT16 and not _has_bfloat16():
        raise UserError(
            f"--engine={name} needs a processor that calculates with it, which this one does not; "
            f"choose {AUTO}, {INT8} or {FLOAT32}"
        )
    if name != AUTO:
        return name
    if _GPU_DEVICE.exists():
        return TENSORFLOW
    return BFLOAT16 if _has_bfloat16() else FLOAT32


def exact(name: str) -> str:
    """Returns the engine for the pictures that a classifier is tested with.

    A head that learned from bfloat16 features is exported with a float32 backbone, so that it is
    tested with one, too.
    """
    return FLOAT32 if name == BFLOAT16 else name


def engine(name: str, backbone: Backbone, quantised: bytes | None = None) -> Engine:
    """Returns a way to run `backbone`.

    Args:
        name: from `chosen`.
        backbone: the network.
        quantised: for INT8, the network as `quantise` made it.
    """
    recipe = {"backbone": backbone.fingerprint, "precision": name}
    if name == INT8:
        assert quantised is not None
        recipe["network"] = hashlib.sha256(quantised).hexdigest()
        return Engine(name, recipe, lambda: _LiteRTRunner(backbone, quantised))
    if name == FLOAT32:
        flatbuffer = backbone.flatbuffer_file
        return Engine(name, recipe, lambda: _LiteRTRunner(backbone, flatbuffer.read_bytes()))
    return Engine(name, recipe, lambda: _TensorFlowRunner(backbone, bfloat16=name == BFLOAT16))


def quantise_pixels(pixels: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Returns float numbers as the int8 ones that stand for them, of the same shape."""
    numbers = np.rint(pixels / np.float32(scale)) + zero_point
    return np.clip(numbers, _INT8.min, _INT8.max).astype(np.int8)


def _has_bfloat16() -> bool:
    try:
        text = _PROCESSOR_FLAGS.read_text()
    except OSError:
        return False
    return bool(_BFLOAT16_FLAGS & set(text.split()))


class _LiteRTRunner:
    """LiteRT; decoding overlaps by itself, and larger batches gain nothing."""

    batch_size = 1

    def __init__(self, backbone: Backbone, flatbuffer: bytes) -> None:
        self.workers = processors()
        self._backbone = backbone
        self._model = LiteRTModel(flatbuffer)

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, feature_width] for uint8 [N, height, width, 3], RGB."""
        inputs = _as_network_wants(pixels, self._backbone)
        return np.concatenate([self._run(picture[np.newaxis]) for picture in inputs])

    def _run(self, picture: np.ndarray) -> np.ndarray:
        into, out = self._model.input, self._model.output
        if into.dtype == np.int8:
            picture = quantise_pixels(picture, into.scale, into.zero_point)
        numbers = self._model.run(picture)
        if out.dtype == np.int8:
            return (numbers.astype(np.float32) - out.zero_point) * np.float32(out.scale)
        return numbers


class _TensorFlowRunner:
    """TensorFlow, on a GPU where it finds one."""

    batch_size = 16

    def __init__(self, backbone: Backbone, bfloat16: bool) -> None:
        self.workers = processors()
        self._backbone = backbone
        self._session = GraphSession(backbone.graph_file.read_bytes(), bfloat16=bfloat16)

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, feature_width] for uint8 [N, height, width, 3], RGB."""
        feeds = {"input:0": _as_network_wants(pixels, self._backbone)}
        return self._session.run("bottleneck:0", feeds)


def _as_network_wants(pixels: np.ndarray, backbone: Backbone) -> Any:
    if backbone.channel_order == "BGR":
        pixels = pixels[..., ::-1]
    return normalise(pixels, backbone.mean, backbone.std)
