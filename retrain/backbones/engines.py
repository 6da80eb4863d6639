"""Selects and creates engines, which run a backbone with LiteRT or TensorFlow."""

import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from retrain.backbones import graph_surgery
from retrain.backbones.backbone import Backbone
from retrain.errors import UserError
from retrain.metadata import GRAPH_PIXELS_INPUT, STRETCH
from retrain.runtimes.graph_check import UntrustedModelError
from retrain.runtimes.graph_def import parse_graph
from retrain.runtimes.graph_session import GraphSession, SessionRuntime
from retrain.runtimes.litert import LiteRTModel, LiteRTRuntime
from retrain.runtimes.preprocessing import Preprocessing
from retrain.runtimes.runtime import Runtime

AUTO = "auto"
INT8 = "int8"
BFLOAT16 = "bfloat16"
FLOAT32 = "float32"
TENSORFLOW = "tensorflow"
NAMES = (AUTO, INT8, BFLOAT16, FLOAT32, TENSORFLOW)

_CPU_INFO = Path("/proc/cpuinfo")
# Other processors support bfloat16, too, but are not faster with it.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
# Turns off oneDNN, the part of TensorFlow that computes in bfloat16.
_ONEDNN_SWITCH = "TF_ENABLE_ONEDNN_OPTS"

_TENSORFLOW_BATCH_SIZE = 16


class Engine:
    """A way to run a backbone, which is loaded when it is needed. A context manager.

    Any number of threads can use it at the same time.

    Attributes:
        name: One of NAMES except AUTO.
        recipe: Everything about the engine that affects features, for their key in the cache.
    """

    def __init__(
        self, name: str, recipe: Mapping[str, str], load_runtime: Callable[[], Runtime]
    ) -> None:
        """Loads nothing.

        Args:
            name: One of NAMES except AUTO.
            recipe: Everything about the engine that affects features.
            load_runtime: Function that loads the network.
        """
        self.name = name
        self.recipe = recipe
        self._load_runtime = load_runtime
        self._runtime: Runtime | None = None
        self._lock = threading.Lock()

    def load(self) -> Runtime:
        """Returns the network, whose values are features. Loads it if necessary."""
        with self._lock:
            if self._runtime is None:
                self._runtime = self._load_runtime()
            return self._runtime

    def close(self) -> None:
        """Frees the memory of the network. `load` can load it again."""
        with self._lock:
            runtime, self._runtime = self._runtime, None
            if runtime is not None:
                runtime.close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def resolve(name: str) -> str:
    """Returns the name of the engine to use: for AUTO, the fastest that costs no accuracy.

    Heads that were trained on bfloat16 features were as accurate on float32 features as heads that
    were trained on float32 features. Heads for int8 features were not. The measurements are in
    tests/benchmarks/README.md.

    Raises:
        UserError: If the engine does not exist, or this machine cannot run it.
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
    """Raises UserError if the user chose an engine that cannot run the backbone.

    AUTO falls back to TensorFlow for a backbone that LiteRT cannot run.
    """
    if name in (FLOAT32, INT8) and backbone.tflite_file is None:
        others = [other for other in NAMES if other not in (FLOAT32, INT8)]
        raise UserError(
            f"--engine={name} cannot run {backbone.name}, since TFLite does not support all of its "
            f"operations; choose one of: {', '.join(others)}"
        )


def for_evaluation(name: str) -> str:
    """Returns the name of the engine that computes the features of validation and test images.

    A head that was trained on bfloat16 features is exported with a float32 backbone. It is
    therefore evaluated with one, too.

    Args:
        name: Name of the engine for training images, as `resolve` returns it.
    """
    return FLOAT32 if name == BFLOAT16 else name


def create(name: str, backbone: Backbone, *, int8_network: bytes | None = None) -> Engine:
    """Returns an engine for a backbone.

    Args:
        name: Result of `resolve`.
        backbone: The network.
        int8_network: Result of `quantise.to_int8`, for INT8.
    """
    recipe = {"backbone": backbone.fingerprint, "precision": name}
    if backbone.stage_widths:
        recipe["stages"] = ",".join(map(str, backbone.stage_widths))
    if backbone.fit != STRETCH:
        # The recipes of earlier versions, which always stretched images, stay valid.
        recipe["fit"] = backbone.fit
    preprocessing = Preprocessing.of(backbone)

    def load_litert(network: bytes) -> Runtime:
        return LiteRTRuntime(LiteRTModel(network), preprocessing, width=backbone.feature_width)

    if name == INT8:
        assert int8_network is not None
        recipe["network"] = hashlib.sha256(int8_network).hexdigest()
        return Engine(name, recipe, lambda: load_litert(int8_network))
    if name == FLOAT32 and backbone.tflite_file:
        return Engine(name, recipe, lambda: load_litert(backbone.read_tflite()))

    def load_tensorflow() -> Runtime:
        # Without the nodes that decode files, which take longer to load than the network.
        graph = parse_graph(backbone.graph_file.read_bytes())
        graph = graph_surgery.with_placeholder(graph, GRAPH_PIXELS_INPUT)
        network = graph_surgery.extract_up_to(graph, backbone.features_tensor)
        try:
            session = GraphSession(
                network, bfloat16=name == BFLOAT16, trust_model=backbone.needs_trust
            )
        except UntrustedModelError as error:
            raise UserError(
                f"the network in {backbone.graph_file} is not run: {error}; delete its folder"
            ) from error
        runtime = SessionRuntime(
            session,
            backbone.features_tensor,
            preprocessing=preprocessing,
            batch_size=_TENSORFLOW_BATCH_SIZE,
            pixels_input=GRAPH_PIXELS_INPUT,
        )
        # TensorFlow optimises the graph in the first run, for which all threads would wait.
        runtime.run(np.zeros((1, backbone.height, backbone.width, 3), np.uint8))
        return runtime

    return Engine(name, recipe, load_tensorflow)


def _missing_for_bfloat16() -> str | None:
    """Returns what this machine lacks for bfloat16, or None if it lacks nothing."""
    if os.environ.get(_ONEDNN_SWITCH, "").lower() in ("0", "false"):
        return f"oneDNN, which {_ONEDNN_SWITCH}={os.environ[_ONEDNN_SWITCH]} turns off"
    try:
        flags = set(_CPU_INFO.read_text().split())
    except OSError:
        flags = set()
    if flags & _BFLOAT16_FLAGS:
        return None
    return "a processor with bfloat16 instructions, which this one does not have"
