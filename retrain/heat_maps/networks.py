"""Runs loaded classifiers up to the layers whose means over the image determine the scores."""

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrain.heat_maps import pooled_layers
from retrain.heat_maps.graph_operations import GraphOperations
from retrain.heat_maps.pooled_layers import NoHeatMapError, PooledLayers
from retrain.heat_maps.tflite_operations import TFLiteOperations
from retrain.runtimes.function_runtime import FunctionRuntime
from retrain.runtimes.graph_session import GraphSession, SessionRuntime
from retrain.runtimes.head import Head
from retrain.runtimes.known_graph import KnownGraphRuntime
from retrain.runtimes.litert import LiteRTModel, LiteRTRuntime
from retrain.runtimes.runtime import ModelError, Runtime
from retrain.runtimes.tflite_outputs import replace_outputs
from retrain.system.program.console import quiet_native_libraries
from retrain.system.text import first_line


class PooledNetwork(abc.ABC):
    """A network up to its pooled layers, ready to run in any number of threads.

    Attributes:
        pooled: The layers.
        batch_size: Best number of images for one call of `run`.
    """

    pooled: PooledLayers
    batch_size: int = 1

    @abc.abstractmethod
    def run(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Returns the outputs of the layers, float32 [N, height, width, channels] each.

        Args:
            pixels: uint8 [N, height, width, 3], RGB, 0 to 255.

        Raises:
            ModelError: If the network does not take images of this size.
        """

    def run_file(self, data: bytes) -> list[np.ndarray]:
        """Returns the same for the content of one image file, which the network itself decodes.

        Raises:
            ModelError: If the decoder in the network cannot read the file.
        """
        raise ModelError("it takes pixels, not files")


def open_network(runtime: Runtime) -> PooledNetwork:
    """Returns the network of a loaded classifier.

    Raises:
        NoHeatMapError: If its scores are not a linear function of means over the image, or if it
            cannot be run up to the layers that are averaged.
    """
    try:
        match runtime:
            case KnownGraphRuntime():
                return _TFLiteNetwork(runtime.backbone, runtime.head)
            case LiteRTRuntime():
                return _TFLiteNetwork(runtime)
            case SessionRuntime():
                return _GraphNetwork(runtime)
            case FunctionRuntime(trace=trace) if trace is not None:
                return _FunctionNetwork(trace(), runtime.batch_size)
    except NoHeatMapError:
        raise
    # A network that can be run can still lack what describes an operation.
    except Exception as error:
        reason = f"the operations of the network cannot be read ({first_line(error)})"
        raise NoHeatMapError(reason) from error
    raise NoHeatMapError("files of this kind have no heat maps; use a frozen graph or TFLite file")


class _TFLiteNetwork(PooledNetwork):
    def __init__(self, runtime: LiteRTRuntime, head: Head | None = None) -> None:
        """Loads the network a second time, with the pooled layers as its outputs.

        Args:
            runtime: The loaded network.
            head: Head on the features that the network computes, or None if it computes scores.
        """
        operations = TFLiteOperations(runtime.model.flatbuffer)
        start = operations.output
        if head is None:
            start = pooled_layers.find_logits(operations.describe, start)
        else:
            # Heads of older versions use only the first of the features.
            head = head.pad(operations.width(start))
        self.pooled = pooled_layers.find(
            operations.describe, start, head, classes=operations.width(start)
        )
        tensors = [int(layer.tensor) for layer in self.pooled.layers]
        self._runtime = runtime
        self._model = LiteRTModel(
            replace_outputs(runtime.model.flatbuffer, tensors), output_count=len(tensors)
        )

    def run(self, pixels: np.ndarray) -> list[np.ndarray]:
        """See the base class."""
        results = [
            [
                tensor.dequantise(values)
                for tensor, values in zip(
                    self._model.outputs, self._model.run_all(image[np.newaxis]), strict=True
                )
            ]
            for image in self._runtime.preprocess(pixels)
        ]
        return [np.concatenate(layer) for layer in zip(*results, strict=True)]


class _GraphNetwork(PooledNetwork):
    def __init__(self, runtime: SessionRuntime) -> None:
        self.batch_size = runtime.batch_size
        self._runtime = runtime
        self.pooled = _find_in_graph(runtime.session, runtime.output)

    def run(self, pixels: np.ndarray) -> list[np.ndarray]:
        """See the base class."""
        return self._run(self._runtime.feeds(pixels))

    def run_file(self, data: bytes) -> list[np.ndarray]:
        """See the base class."""
        return self._run(self._runtime.file_feeds(data))

    def _run(self, feeds: dict[str, Any]) -> list[np.ndarray]:
        return self._runtime.session.run_all(_tensor_names(self.pooled), feeds)


class _FunctionNetwork(PooledNetwork):
    def __init__(self, function: Any, batch_size: int) -> None:
        """Converts a function of TensorFlow to a graph without variables.

        Args:
            function: Concrete function of images [N, height, width, 3].
            batch_size: Best number of images for one call of `run`.
        """
        from tensorflow.python.framework import convert_to_constants

        with quiet_native_libraries():
            frozen = convert_to_constants.convert_variables_to_constants_v2(function)
        # The file was checked when it was loaded.
        self._session = GraphSession(frozen.graph.as_graph_def(), trust_model=True)
        (self._input,), (output,) = frozen.inputs, frozen.outputs
        self.batch_size = batch_size
        self.pooled = _find_in_graph(self._session, output.name)

    def run(self, pixels: np.ndarray) -> list[np.ndarray]:
        """See the base class."""
        feeds = {self._input.name: pixels.astype(self._input.dtype.as_numpy_dtype)}
        return self._session.run_all(_tensor_names(self.pooled), feeds)


def _find_in_graph(session: GraphSession, output: str) -> PooledLayers:
    operations = GraphOperations(session.graph_def(), session)
    logits = pooled_layers.find_logits(operations.describe, output)
    return pooled_layers.find(operations.describe, logits, classes=operations.width(logits))


def _tensor_names(pooled: PooledLayers) -> Sequence[str]:
    return [str(layer.tensor) for layer in pooled.layers]
