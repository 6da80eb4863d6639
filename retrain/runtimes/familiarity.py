"""Computes how familiar an image is, compared with the training images of a classifier.

Softmax scores cannot tell that an image shows none of the classes. The distance to the classes in
the space of the features can.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Familiarity:
    """The familiarity of images, computed from their features."""

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Returns the familiarity of images, float32 [N], 0 to 1.

        It is the share of held-out images of the classes that are less familiar than this image:
        0.05 means that 95 % of the images of the classes look more familiar. Below the familiarity
        of all held-out images it keeps decreasing.

        Args:
            features: float16 or float32 [N, width].
        """
        raise NotImplementedError


def unpack(packed: dict[str, Any] | None, *, classes: int) -> Familiarity | None:
    """Returns the familiarity in the metadata of a classifier, or None if there is none.

    Raises:
        MetadataError: If the metadata are damaged.
    """
    return None
