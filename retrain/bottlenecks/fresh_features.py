"""Computes features of new random distortions for every training step.

TensorFlow's `retrain.py` does the same. It is slow, because the network runs for every image of
every step. Cached variants (`DistortionOptions.per_image`) result in equally accurate classifiers
in a hundredth of the time.
"""

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np

from retrain.backbones import engines
from retrain.backbones.backbone import Backbone
from retrain.data import distortions, image_reader, pixels
from retrain.data.dataset import ImageFile
from retrain.errors import UserError
from retrain.system.batches import batches
from retrain.system.threads import parallel_map
from retrain.training_options import DistortionOptions


class FreshFeatures:
    """Distorts training images, differently in every step, and runs them through the network.

    A context manager, which frees the memory of the network.
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
            images: Images of the training split.
            backbone: Network that computes the features.
            engine: Name of the engine that runs the network, any except `engines.INT8`.
            options: Kinds and limits of the distortions.
        """
        self._images = images
        self._backbone = backbone
        self._options = options
        self._engine = engines.create(engine, backbone)
        self._network = self._engine.load()
        # Every image of every step is a variant with another number.
        self._numbers = itertools.count(1)

    def __enter__(self) -> "FreshFeatures":
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()

    def compute(self, rows: np.ndarray) -> np.ndarray:
        """Computes features of new distortions of the images with the indices `rows`, int [N].

        Returns:
            float32 [N, feature_width].

        Raises:
            UserError: If an image can no longer be read.
        """
        numbered = zip(rows.tolist(), self._numbers)  # noqa: B905 (the numbers have no end)
        numbered_batches = batches(numbered, self._network.batch_size)
        features = parallel_map(self._compute_batch, numbered_batches, self._network.workers)
        return np.concatenate(list(features))

    def _compute_batch(self, batch: list[tuple[int, int]]) -> np.ndarray:
        return self._network.run(np.stack([self._distort(*image) for image in batch]))

    def _distort(self, row: int, number: int) -> np.ndarray:
        path = self._images[row].path
        try:
            data = image_reader.read(path)
            (variant,) = distortions.decode_variants(
                data,
                [number],
                self._options,
                digest=hashlib.sha256(data).digest(),
                height=self._backbone.height,
                width=self._backbone.width,
                fit=self._backbone.fit,
            )
        except OSError as error:
            raise UserError(f"{path} can no longer be read: {error.strerror}") from error
        except pixels.UnreadableImageError as error:
            raise UserError(f"{path} can no longer be read: {error}") from error
        return variant
