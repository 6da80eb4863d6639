"""Finds photos that a camera took within a few seconds of the same view."""

import numpy as np

from retrain.data_check import near_duplicates

_MAX_SECONDS = 2
# Each photo is compared with so many later ones.
_FOLLOWING = 3
# Correlation of aligned thumbnails. What moves in a burst is mostly a part of the image.
_MIN_CORRELATION = 0.8
# Cameras are slower. So many photos with the same time come from a clock that was never set.
_MAX_PER_SECOND = 30


def find_pairs(traits: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
    """Returns pairs of photos of the same burst.

    Photos of different classes are no burst: somebody took one of each class in turn.

    Args:
        traits: TRAITS [N].
        class_ids: Class of each image, int [N].

    Returns:
        Indices of the images, int64 [pairs, 2].
    """
    dated = np.flatnonzero(traits["captured"])
    camera, captured = traits["camera"][dated], traits["captured"][dated].astype(np.int64)
    _, moment, counts = np.unique(
        np.stack([camera, captured]), axis=1, return_inverse=True, return_counts=True
    )
    is_plausible = counts[moment] <= _MAX_PER_SECOND
    dated, camera, captured = dated[is_plausible], camera[is_plausible], captured[is_plausible]
    order = np.lexsort((captured, camera))
    dated, camera, captured = dated[order], camera[order], captured[order]
    candidates = [np.empty((0, 2), np.int64)]
    for step in range(1, min(_FOLLOWING + 1, len(dated))):
        first, second = dated[:-step], dated[step:]
        is_close = (
            (camera[step:] == camera[:-step])
            & (captured[step:] - captured[:-step] <= _MAX_SECONDS)
            & (class_ids[first] == class_ids[second])
        )
        candidates.append(np.stack([first, second], axis=1)[is_close])
    pairs = np.concatenate(candidates)
    correlations = near_duplicates.correlate(traits["thumbnail"], pairs)
    return pairs[correlations >= _MIN_CORRELATION]
