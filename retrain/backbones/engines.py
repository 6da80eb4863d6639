"""Programs that run a backbone: LiteRT where there is only a processor, TensorFlow on a GPU."""

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
FLOAT32 = "float32"
TENSORFLOW = "tensorflow"
NAMES = (AUTO, FLOAT32, TENSORFLOW)

# What the drivers of NVIDIA make on Linux. TensorFlow has no other GPUs there without a plug-in.
_GPU_DEVICE = Path("/dev/nvidiactl")


class Engine(Protocol):
    """Runs a backbone, in any number of threads.

    Attributes:
        name: one of NAMES, never AUTO.
        batch_size: how many pictures a thread should give at a time.
        workers: how many threads keep it busy, decoding included.
    """

    name: str
    batch_size: int
    workers: int

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, feature_width] for uint8 [N, height, width, 3], RGB."""


def check_name(name: str) -> None:
    """Raises UserError where there is no engine of that name."""
    if name not in NAMES:
        raise UserError(f"--engine={name} is not known; choose one of: {', '.join(NAMES)}")


def load(name: str, backbone: Backbone) -> Engine:
    """Returns the engine of that name, ready to run `backbone`.

    Raises:
        UserError: there is no such engine.
    """
    check_name(name)
    if name == AUTO:
        name = TENSORFLOW if _GPU_DEVICE.exists() else FLOAT32
    return LiteRTEngine(backbone) if name == FLOAT32 else TensorFlowEngine(backbone)


class LiteRTEngine:
    """LiteRT in float32; decoding overlaps by itself, and larger batches gain nothing."""

    name = FLOAT32
    batch_size = 1

    def __init__(self, backbone: Backbone) -> None:
        """Reads the network."""
        self.workers = processors()
        self._backbone = backbone
        self._model = LiteRTModel(backbone.flatbuffer_file.read_bytes())

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, feature_width] for uint8 [N, height, width, 3], RGB."""
        inputs = _as_network_wants(pixels, self._backbone)
        return np.concatenate([self._model.run(picture[np.newaxis]) for picture in inputs])


class TensorFlowEngine:
    """TensorFlow in float32, on a GPU where it finds one."""

    name = TENSORFLOW
    batch_size = 32

    def __init__(self, backbone: Backbone) -> None:
        """Reads the network."""
        self.workers = processors()
        self._backbone = backbone
        self._session = GraphSession(backbone.graph_file.read_bytes())

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, feature_width] for uint8 [N, height, width, 3], RGB."""
        feeds = {"input:0": _as_network_wants(pixels, self._backbone)}
        return self._session.run("bottleneck:0", feeds)


def _as_network_wants(pixels: np.ndarray, backbone: Backbone) -> Any:
    if backbone.channel_order == "BGR":
        pixels = pixels[..., ::-1]
    return normalise(pixels, backbone.mean, backbone.std)
