"""Features of distortions that are made anew for every training step, as the original makes them.

They take as long as they took there: the network runs for every image of every step. Kept
variants (`DistortionOptions.per_image`) give classifiers that are as good in a hundredth of that.
"""

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np

from retrain.backbones import engines
from retrain.backbones.backbone import Backbone
from retrain.config import DistortionOptions
from retrain.data import distortions, pixels
from retrain.data.dataset import ImageFile
from retrain.errors import UserError
from retrain.system.batches import batches
from retrain.system.threads import parallel_map


class FreshFeatures:
    """Distorts training images, every time differently, and runs them through the network.

    A context manager, which frees the network's memory.
    """

    def __init__(
        self,
        images: Sequence[ImageFile],
        backbone: Backbone,
        engine: str,
        options: DistortionOptions,
    ) -> None:
        """Loads the network.

        Args:
            images: of the training part.
            backbone: the network.
            engine: what runs it, one that needs no quantised network.
            options: how to distort.
        """
        self._images = images
        self._backbone = backbone
        self._options = options
        self._engine = engines.engine(engine, backbone)
        self._runner = self._engine.load()
        # No two images of any step are distorted alike.
        self._numbers = itertools.count(1)

    def __enter__(self) -> "FreshFeatures":
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Returns float32 [N, feature_width] of new distortions of the images `rows`, int [N].

        Raises:
            UserError: an image cannot be read any more.
        """
        wanted = list(zip(rows.tolist(), self._numbers))  # noqa: B905 (numbers have no end)
        size = self._runner.batch_size
        features = parallel_map(self._features, batches(wanted, size), self._runner.workers)
        return np.concatenate(list(features))

    def _features(self, wanted: list[tuple[int, int]]) -> np.ndarray:
        return self._runner.features(np.stack([self._distorted(*one) for one in wanted]))

    def _distorted(self, row: int, number: int) -> np.ndarray:
        path = self._images[row].path
        size = (self._backbone.height, self._backbone.width)
        try:
            data = path.read_bytes()
            digest = hashlib.sha256(data).digest()
            (result,) = distortions.variants(data, digest, [number], *size, self._options)
        except OSError as error:
            raise UserError(f"{path} cannot be read any more: {error.strerror}") from error
        except pixels.UnreadableImageError as error:
            raise UserError(f"{path} cannot be read any more: {error}") from error
        return result
