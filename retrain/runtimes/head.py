"""The last layer of a classifier: features in, logits or probabilities out."""

from dataclasses import dataclass

import numpy as np

_ROWS_AT_A_TIME = 8192


@dataclass(frozen=True)
class Head:
    """A dense layer with softmax.

    Attributes:
        weights: float32 [width, classes].
        bias: float32 [classes].
    """

    weights: np.ndarray
    bias: np.ndarray

    def pad(self, width: int) -> "Head":
        """Returns a head for `width` features, of which the ones after its own have no effect."""
        rows = width - len(self.weights)
        return Head(np.pad(self.weights, ((0, rows), (0, 0))), self.bias) if rows else self

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Returns the logits, float32 [N, classes].

        Args:
            features: float16 or float32 [N, width].
        """
        result = np.empty((len(features), len(self.bias)), np.float32)
        # In pieces, since float16 features are copied to float32 for the product.
        for start in range(0, len(features), _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            result[rows] = features[rows].astype(np.float32, copy=False) @ self.weights + self.bias
        return result

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Returns the probabilities, float32 [N, classes], 0 to 1; each row sums to 1.

        Args:
            features: float16 or float32 [N, width].
        """
        return softmax(self.logits(features))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the softmax of each row, in the same shape."""
    # Without the subtraction, the exponential of a large logit would be infinite.
    result = np.exp(logits - logits.max(axis=1, keepdims=True))
    result /= result.sum(axis=1, keepdims=True)
    return result
