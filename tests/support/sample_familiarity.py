"""Makes a familiarity without training images."""

import numpy as np

from retrain.runtimes.familiarity import Familiarity


def create(*, width: int, classes: int, rank: int = 3) -> Familiarity:
    """Returns a familiarity with random means and directions, which float16 can represent.

    Half of the held-out images are within a distance of 2, and a tenth is beyond 4.
    """
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(width, rank)))[0]
    variances = np.array([0.25, 0.0625, *[0.0625] * (rank - 2)], np.float32)[:rank]

    def as_float16(array: np.ndarray) -> np.ndarray:
        return array.astype(np.float16).astype(np.float32)

    return Familiarity(
        center=as_float16(rng.normal(0, 0.1, width)),
        basis=as_float16(directions / np.sqrt(variances)),
        variances=variances,
        means=as_float16(rng.normal(size=(classes, rank))),
        residual_variance=0.0625,
        distances=np.array([1, 2, 4], np.float32),
        shares=np.array([1, 0.5, 0.1], np.float32),
        tail_scale=1.5,
    )
