"""Runs TFLite networks in LiteRT, which loads in a tenth of a second."""

import functools
import threading
from typing import Any, NamedTuple

import numpy as np

from retrain.model_limits import LIMITS
from retrain.runtimes import native_imports
from retrain.runtimes.preprocessing import Preprocessing
from retrain.runtimes.runtime import NO_DESCRIPTION, Description, ModelError, Outputs, Runtime
from retrain.system.program.console import quiet_native_libraries
from retrain.system.text import first_line


class Tensor(NamedTuple):
    """The input or output of a network, with float32 or quantised numbers.

    A quantised number stands for `(number - zero_point) * scale`:
    https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec

    Attributes:
        shape: Shape that the file states, with the number of images first.
        dtype: Type of the numbers: float32, or uint8 or int8 for quantised ones.
        scale: Difference between the values of successive quantised numbers. 0 if the file does not
            state it, which means 1.
        zero_point: Quantised number that stands for 0.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    scale: float = 0.0
    zero_point: int = 0

    @property
    def step(self) -> float:
        """Difference between the values of successive quantised numbers."""
        return self.scale or 1.0

    def quantise(self, values: np.ndarray) -> np.ndarray:
        """Returns float32 values as numbers of this tensor, in the same shape."""
        if self.dtype == np.float32:
            return values
        limits = np.iinfo(self.dtype)
        numbers = np.rint(values / np.float32(self.step)) + self.zero_point
        return np.clip(numbers, limits.min, limits.max).astype(self.dtype)

    def dequantise(self, numbers: np.ndarray) -> np.ndarray:
        """Returns numbers of this tensor as float32 values, in the same shape."""
        if self.dtype == np.float32:
            return numbers
        return (numbers.astype(np.float32) - self.zero_point) * np.float32(self.step)


@functools.cache
def import_interpreter() -> Any:
    """Imports LiteRT, and returns its class of interpreters.

    Only the first call waits for other native imports.
    """
    with native_imports.LOCK, quiet_native_libraries():
        from ai_edge_litert.interpreter import Interpreter
    return Interpreter


class LiteRTModel:
    """A network with one input, ready to run in any number of threads.

    Each simultaneous call has an interpreter of its own, which uses one thread. Two processors that
    work on an image each are faster than two that work on the same image.

    Attributes:
        input: Description of the input.
        outputs: Descriptions of the outputs.
        flatbuffer: Content of the TFLite file.
    """

    def __init__(self, flatbuffer: bytes, *, output_count: int = 1) -> None:
        """Loads the content of a TFLite file.

        Args:
            flatbuffer: Content of the file.
            output_count: Number of outputs that the network must have.

        Raises:
            ModelError: If LiteRT cannot run it, or it has several inputs or another number of
                outputs.
        """
        self.flatbuffer = flatbuffer
        self._lock = threading.Lock()
        interpreter = self._new_interpreter()
        try:
            inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        except ValueError as error:  # Names of tensors that are not text.
            raise ModelError(first_line(error)) from error
        if len(inputs) != 1 or len(outputs) != output_count:
            expected = "one of each" if output_count == 1 else f"1 and {output_count}"
            raise ModelError(
                f"it has {len(inputs)} inputs and {len(outputs)} outputs instead of {expected}"
            )
        self.input = _tensor(inputs[0])
        self.outputs = tuple(map(_tensor, outputs))
        self._input_index = inputs[0]["index"]
        self._output_indices = [output["index"] for output in outputs]
        self._idle = [interpreter]

    @property
    def output(self) -> Tensor:
        """Description of the first output."""
        return self.outputs[0]

    def run(self, value: np.ndarray) -> np.ndarray:
        """Returns the first output for `value`; see `run_all`."""
        return self.run_all(value)[0]

    def run_all(self, value: np.ndarray) -> list[np.ndarray]:
        """Returns the outputs for `value`. All have the shapes and dtypes that the file states.

        Raises:
            ModelError: If LiteRT cannot compute them.
        """
        with self._lock:
            interpreter = self._idle.pop() if self._idle else None
        interpreter = interpreter or self._new_interpreter()
        try:
            interpreter.set_tensor(self._input_index, value)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in self._output_indices]
        except (ValueError, RuntimeError) as error:
            raise ModelError(first_line(error)) from error
        finally:
            with self._lock:
                self._idle.append(interpreter)

    def _new_interpreter(self) -> Any:
        interpreter_class = import_interpreter()
        with quiet_native_libraries():
            try:
                interpreter = interpreter_class(model_content=self.flatbuffer, num_threads=1)
                interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise ModelError(first_line(error)) from error
        return interpreter


class LiteRTRuntime(Runtime):
    """Runs a network that takes one image at a time. Larger batches would not be faster.

    Attributes:
        model: The network.
    """

    def __init__(
        self,
        model: LiteRTModel,
        preprocessing: Preprocessing,
        *,
        description: Description = NO_DESCRIPTION,
        width: int | None = None,
    ) -> None:
        """Prepares the network for 8-bit pixels.

        Args:
            model: Network with an input of shape [1, height, width, 3].
            preprocessing: Preprocessing of the network's input, before quantisation.
            description: Properties of the classifier that the file states.
            width: Number of values to return for an image; None for all.
        """
        self.description = description
        self.model = model
        self._width = width
        self._preprocessing = preprocessing
        self._levels = None
        if model.input.dtype != np.float32:
            self._levels = model.input.quantise(preprocessing.levels())

    def predict(self, pixels: np.ndarray) -> Outputs:
        """Returns the values and the familiarity of images, computed in one run.

        If the familiarity is known, the second output of the network is the features.
        """
        results = [self.model.run_all(image[np.newaxis]) for image in self.preprocess(pixels)]
        values, *features = (
            np.concatenate([tensor.dequantise(result[i]).reshape(1, -1) for result in results])
            for i, tensor in enumerate(self.model.outputs)
        )
        familiarity = self.description.familiarity
        return Outputs(
            values[:, : self._width],
            None if familiarity is None else familiarity.scores(*features),
        )

    def preprocess(self, pixels: np.ndarray) -> np.ndarray:
        """Returns the inputs of the network for `pixels`, in the same shape."""
        return self._preprocessing.apply(pixels, levels=self._levels)

    def close(self) -> None:
        """Frees the network's memory."""
        del self.model


def _tensor(details: dict[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    # A scale of 0 means that the file does not state it.
    if scale and not 1 / LIMITS.factor <= scale <= LIMITS.factor:
        raise ModelError(f"its numbers have the scale {scale:g}, which cannot be used")
    return Tensor(
        tuple(int(n) for n in details["shape"]), np.dtype(details["dtype"]), scale, zero_point
    )
