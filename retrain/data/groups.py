"""Numbers the groups of images that must not be in different splits or folds."""

from collections.abc import Sequence

import numpy as np

from retrain.data.dataset import ImageFile


def number_groups(images: Sequence[ImageFile]) -> np.ndarray:
    """Returns the number of each image's group, int64 [N], from 0.

    Images with the same percentage hash are a group: their names say that they show the same
    object, or --group_by put them together. Images without a hash are groups of their own.
    """
    numbers: dict[float | int, int] = {}
    return np.array(
        [
            # Keys that are no hashes, which are not negative.
            numbers.setdefault(
                -1 - row if image.percentage_hash is None else image.percentage_hash, len(numbers)
            )
            for row, image in enumerate(images)
        ],
        np.int64,
    )
