"""Runs TFLite files in LiteRT, which loads in a tenth of a second."""

import threading
from typing import Any, NamedTuple

import numpy as np

from retrain.system.console import quiet_native_libraries


class LiteRTError(Exception):
    """The file is not a network that LiteRT runs; the message is its first line."""


class Tensor(NamedTuple):
    """What goes in, or comes out.

    Attributes:
        shape: as the file states it, with the number of images first.
        dtype: of its numbers.
        scale: of quantised numbers, whose value is `(number - zero_point) * scale`; 0 for others.
        zero_point: the quantised number that stands for 0.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    scale: float
    zero_point: int


class LiteRTModel:
    """A network of one input and one output, which any number of threads may run.

    Interpreters have one thread each, and there are as many as there were calls at the same time:
    two images on two processors are done sooner than one image on both, twice.

    Attributes:
        input: what it takes.
        output: what it gives.
    """

    def __init__(self, flatbuffer: bytes) -> None:
        """Reads the network.

        Raises:
            LiteRTError: it is none, has operations that LiteRT has not, or several inputs or
                outputs.
        """
        self._flatbuffer = flatbuffer
        self._lock = threading.Lock()
        interpreter = self._new_interpreter()
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise LiteRTError(
                f"it has {len(inputs)} inputs and {len(outputs)} outputs instead of one of each"
            )
        self.input, self.output = _tensor(inputs[0]), _tensor(outputs[0])
        self._input_index, self._output_index = inputs[0]["index"], outputs[0]["index"]
        self._idle = [interpreter]

    def run(self, value: np.ndarray) -> np.ndarray:
        """Returns the output for `value`, each of the shape and dtype that the file states."""
        with self._lock:
            interpreter = self._idle.pop() if self._idle else None
        interpreter = interpreter or self._new_interpreter()
        try:
            interpreter.set_tensor(self._input_index, value)
            interpreter.invoke()
            return interpreter.get_tensor(self._output_index)
        except (ValueError, RuntimeError) as error:
            raise LiteRTError(_first_line(error)) from error
        finally:
            with self._lock:
                self._idle.append(interpreter)

    def _new_interpreter(self) -> Any:
        with quiet_native_libraries():
            from ai_edge_litert.interpreter import Interpreter

            try:
                interpreter = Interpreter(model_content=self._flatbuffer, num_threads=1)
                interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise LiteRTError(_first_line(error)) from error
        return interpreter


def _tensor(details: dict[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    return Tensor(
        tuple(int(n) for n in details["shape"]), np.dtype(details["dtype"]), scale, zero_point
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
