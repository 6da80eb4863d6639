"""Programs that run a backbone: LiteRT and TensorFlow, in several precisions."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.data.pixels import look_up, normalise, normalised_levels
from retrain.errors import UserError
from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.litert import LiteRTModel
from retrain.system.threads import processors

AUTO = "auto"
INT8 = "int8"
BFLOAT16 = "bfloat16"
FLOAT32 = "float32"
TENSORFLOW = "tensorflow"
NAMES = (AUTO, INT8, BFLOAT16, FLOAT32, TENSORFLOW)

_PROCESSOR_FLAGS = Path("/proc/cpuinfo")
# Other processors know the format too, but are not faster with it.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
# It is oneDNN within TensorFlow that calculates with it; this turns oneDNN off.
_ONEDNN_SWITCH = "TF_ENABLE_ONEDNN_OPTS"

_INT8 = np.iinfo(np.int8)


class Runner(Protocol):
    """A network that is loaded, and may be run by any number of threads.

    Attributes:
        batch_size: how many images a thread should give at a time.
        workers: how many threads keep it busy, decoding included.
    """

    batch_size: int
    workers: int

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, feature_width] for uint8 [N, height, width, 3], RGB."""

    def close(self) -> None:
        """Frees its memory; it cannot be run any more."""


class Engine:
    """A way to run a backbone, loaded when it is needed. A context manager, which closes it.

    Attributes:
        name: one of NAMES, never AUTO.
        recipe: all of it that decides features, for their key in the cache.
    """

    def __init__(self, name: str, recipe: Mapping[str, str], make: Callable[[], Runner]) -> None:
        """Loads nothing.

        Args:
            name: one of NAMES, never AUTO.
            recipe: all of it that decides features.
            make: loads the network.
        """
        self.name = name
        self.recipe = recipe
        self._make = make
        self._runner: Runner | None = None

    def load(self) -> Runner:
        """Makes it ready, the first time."""
        if self._runner is None:
            self._runner = self._make()
        return self._runner

    def close(self) -> None:
        """Frees the memory of what was loaded; another `load` loads it again."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def chosen(name: str) -> str:
    """Returns the name of the engine to use: where `name` is AUTO, the fastest that loses nothing.

    Heads that were trained on bfloat16 features were as good on float32 ones as heads that were
    trained on those, int8 ones were not: tests/benchmarks/README.md has the numbers.

    Raises:
        UserError: there is no such engine, or not on this machine.
    """
    if name not in NAMES:
        raise UserError(f"--engine={name} is not known; choose one of: {', '.join(NAMES)}")
    if name not in (AUTO, BFLOAT16):
        return name
    missing = _missing_for_bfloat16()
    if name == BFLOAT16 and missing:
        raise UserError(f"--engine={name} needs {missing}; choose {AUTO}, {INT8} or {FLOAT32}")
    return FLOAT32 if missing else BFLOAT16


def check(name: str, backbone: Backbone) -> None:
    """Raises UserError where the user named an engine that cannot run `backbone`.

    AUTO takes TensorFlow for one that LiteRT does not run.
    """
    if name in (FLOAT32, INT8) and backbone.tflite_file is None:
        others = [other for other in NAMES if other not in (FLOAT32, INT8)]
        raise UserError(
            f"--engine={name} cannot run {backbone.name}, which has operations that TFLite has "
            f"not; choose one of: {', '.join(others)}"
        )


def exact(name: str) -> str:
    """Returns the engine for the images that a classifier is tested with.

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
    if name == FLOAT32 and backbone.tflite_file:
        return Engine(name, recipe, lambda: _LiteRTRunner(backbone, backbone.read_tflite()))
    return Engine(name, recipe, lambda: _TensorFlowRunner(backbone, bfloat16=name == BFLOAT16))


def quantise_pixels(pixels: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Returns float numbers as the int8 ones that stand for them, of the same shape."""
    numbers = np.rint(pixels / np.float32(scale)) + zero_point
    return np.clip(numbers, _INT8.min, _INT8.max).astype(np.int8)


def _missing_for_bfloat16() -> str | None:
    if os.environ.get(_ONEDNN_SWITCH, "").lower() in ("0", "false"):
        return f"oneDNN, which {_ONEDNN_SWITCH}={os.environ[_ONEDNN_SWITCH]} turns off"
    try:
        flags = set(_PROCESSOR_FLAGS.read_text().split())
    except OSError:
        flags = set()
    if flags & _BFLOAT16_FLAGS:
        return None
    return "a processor that calculates with it, which this one does not"


class _LiteRTRunner:
    """LiteRT; decoding overlaps by itself, and larger batches gain nothing."""

    batch_size = 1

    def __init__(self, backbone: Backbone, flatbuffer: bytes) -> None:
        self.workers = processors()
        self._backbone = backbone
        self._model = LiteRTModel(flatbuffer)
        into = self._model.input
        self._levels = normalised_levels(backbone.mean, backbone.std)
        if into.dtype == np.int8:
            self._levels = quantise_pixels(self._levels, into.scale, into.zero_point)

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, feature_width] for uint8 [N, height, width, 3], RGB."""
        inputs = look_up(_in_order(pixels, self._backbone), self._levels)
        return np.concatenate([self._run(image[np.newaxis]) for image in inputs])

    def close(self) -> None:
        """Frees its memory; it cannot be run any more."""
        del self._model

    def _run(self, image: np.ndarray) -> np.ndarray:
        out = self._model.output
        numbers = self._model.run(image)
        if out.dtype == np.int8:
            return (numbers.astype(np.float32) - out.zero_point) * np.float32(out.scale)
        return numbers


class _TensorFlowRunner:
    """TensorFlow, on a GPU where it was built for one and finds it."""

    batch_size = 16

    def __init__(self, backbone: Backbone, bfloat16: bool) -> None:
        self.workers = processors()
        self._backbone = backbone
        self._session = GraphSession(backbone.graph_file.read_bytes(), bfloat16=bfloat16)

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, feature_width] for uint8 [N, height, width, 3], RGB."""
        pixels = _in_order(pixels, self._backbone)
        feeds = {"input:0": normalise(pixels, self._backbone.mean, self._backbone.std)}
        return self._session.run("bottleneck:0", feeds)

    def close(self) -> None:
        """Frees its memory; it cannot be run any more."""
        self._session.close()


def _in_order(pixels: np.ndarray, backbone: Backbone) -> np.ndarray:
    return pixels[..., ::-1] if backbone.channel_order == "BGR" else pixels
