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


def find_pairs(traits: np.ndarray) -> np.ndarray:
    """Returns pairs of photos of the same burst.

    Args:
        traits: TRAITS [N].

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
        is_close = (camera[step:] == camera[:-step]) & (
            captured[step:] - captured[:-step] <= _MAX_SECONDS
        )
        candidates.append(np.stack([dated[:-step], dated[step:]], axis=1)[is_close])
    pairs = np.concatenate(candidates)
    correlations = near_duplicates.correlate(traits["thumbnail"], pairs)
    return pairs[correlations >= _MIN_CORRELATION]
