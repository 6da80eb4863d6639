"""The last layer of a classifier as a value, and how it is run: features to probabilities."""

from dataclasses import dataclass

import numpy as np

_ROWS_AT_A_TIME = 8192


@dataclass(frozen=True)
class Head:
    """A softmax layer.

    Attributes:
        weights: float32 [width, classes].
        bias: float32 [classes].
    """

    weights: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Returns what the softmax is taken of, float32 [N, classes], any numbers.

        Args:
            features: float16 or float32 [N, width].
        """
        result = np.empty((len(features), len(self.bias)), np.float32)
        # In pieces, because a product takes a copy of float16 features in float32.
        for begin in range(0, len(features), _ROWS_AT_A_TIME):
            rows = slice(begin, begin + _ROWS_AT_A_TIME)
            result[rows] = features[rows].astype(np.float32, copy=False) @ self.weights + self.bias
        return result

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Returns float32 [N, classes], 0 to 1, each row with the sum 1.

        Args:
            features: float16 or float32 [N, width].
        """
        return softmax(self.logits(features))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities of the same shape, each row with the sum 1."""
    # Without the subtraction, the exponential of a large logit would be infinite.
    result = np.exp(logits - logits.max(axis=1, keepdims=True))
    result /= result.sum(axis=1, keepdims=True)
    return result
