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
        predict: Callable[[np.ndarray], Outputs],
        *,
        predict_file: Callable[[bytes], Outputs] | None = None,
        description: Description = NO_DESCRIPTION,
        batch_size: int = 1,
        trace: Callable[[], Any] | None = None,
    ) -> None:
        """Stores the functions.

        Args:
            predict: Implementation of `Runtime.predict`.
            predict_file: Implementation of `Runtime.predict_file`; None if the network does not
                decode images itself.
            description: Properties of the classifier that the file states.
            batch_size: Best number of images for one call of `predict`.
            trace: See the class.
        """
        self.description = description
        self.batch_size = batch_size
        self.trace = trace
        self._predict, self._predict_file = predict, predict_file
        self.takes_files = predict_file is not None

    def predict(self, pixels: np.ndarray) -> Outputs:
        """See `Runtime.predict`."""
        return self._predict(pixels)

    def predict_file(self, data: bytes) -> Outputs:
        """See `Runtime.predict_file`."""
        return (
            super().predict_file(data) if self._predict_file is None else self._predict_file(data)
        )

    def close(self) -> None:
        """Releases the functions, which own the network."""
        del self._predict, self._predict_file
