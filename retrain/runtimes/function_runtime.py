"""A Runtime that calls functions."""

from collections.abc import Callable
from typing import Any

import numpy as np

from retrain.runtimes.runtime import NO_DESCRIPTION, Description, Outputs, Runtime


class FunctionRuntime(Runtime):
    """Runs a network by calling functions, for file formats that other libraries run.

    Attributes:
        trace: Function that returns the network as a concrete function of TensorFlow, from RGB
            pixels from 0 to 255 to scores; None if there is none.
    """

    def __init__(
        self,
        run: Callable[[np.ndarray], np.ndarray],
        *,
        run_file: Callable[[bytes], np.ndarray] | None = None,
        description: Description = NO_DESCRIPTION,
        batch_size: int = 1,
        trace: Callable[[], Any] | None = None,
        predict: Callable[[np.ndarray], Outputs] | None = None,
        predict_file: Callable[[bytes], Outputs] | None = None,
    ) -> None:
        """Stores the functions.

        Args:
            run: Implementation of `Runtime.run`.
            run_file: Implementation of `Runtime.run_file`; None if the network does not decode
                images itself.
            description: Properties of the classifier that the file states.
            batch_size: Best number of images for one call of `run`.
            trace: See the class.
            predict: Implementation of `Runtime.predict`; None for a network without familiarity.
            predict_file: The same of `Runtime.predict_file`.
        """
        self.description = description
        self.batch_size = batch_size
        self.trace = trace
        self._run, self._run_file = run, run_file
        self._predict, self._predict_file = predict, predict_file
        self.takes_files = run_file is not None

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, values] for uint8 [N, height, width, 3], RGB."""
        return self._run(pixels)

    def run_file(self, data: bytes) -> np.ndarray:
        """Returns float32 [values] for the content of an image file."""
        return super().run_file(data) if self._run_file is None else self._run_file(data)

    def predict(self, pixels: np.ndarray) -> Outputs:
        """Returns the values and the familiarity; see `Runtime.predict`."""
        return super().predict(pixels) if self._predict is None else self._predict(pixels)

    def predict_file(self, data: bytes) -> Outputs:
        """Returns the values and the familiarity; see `Runtime.predict_file`."""
        return (
            super().predict_file(data) if self._predict_file is None else self._predict_file(data)
        )

    def close(self) -> None:
        """Releases the functions, which own the network."""
        del self._run, self._run_file, self._predict, self._predict_file
