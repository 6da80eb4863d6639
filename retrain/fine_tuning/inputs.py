"""Computes the inputs of the trained layers: pixels, or activations of the layers below."""

import contextlib
from collections.abc import Callable, Generator, Sequence

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.data.dataset import ImageFile
from retrain.data.distortions import Distortion
from retrain.fine_tuning.activation_store import ActivationStore
from retrain.fine_tuning.trainer import Trainer
from retrain.fine_tuning.variants import VariantSource, decode_undistorted
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map

_BATCH_SIZE = 32

# Key of the validation images in the store; those of variants are at least 0.
_VALIDATION = -1


class Inputs:
    """Computes batches of inputs, and keeps activations that several epochs need."""

    def __init__(
        self,
        trainer: Trainer,
        backbone: Backbone,
        images: VariantSource,
        validation: Sequence[ImageFile],
        *,
        store: ActivationStore,
        seed: int,
    ) -> None:
        """Stores the arguments.

        Args:
            trainer: The network.
            backbone: The backbone that the network was loaded from.
            images: Source of distorted variants of the training images.
            validation: Validation images.
            store: Place for activations. Pixels are not kept, because they take more space.
            seed: Random seed of the distortions.
        """
        self._trainer = trainer
        self._backbone = backbone
        self._images = images
        self._validation = validation
        self._store = store
        self._seed = seed

    def train(
        self, batches: Sequence[np.ndarray], variant: int
    ) -> Generator[np.ndarray, None, None]:
        """Yields the inputs for batches of training images.

        Args:
            batches: Numbers of the images in each batch, int [N].
            variant: Number of the variant, at least 0, which determines the distortions.

        Raises:
            UserError: If an image cannot be read.
        """
        values = np.random.default_rng([self._seed, variant, 1]).random(
            (len(self._images), len(Distortion._fields))
        )
        distortions = [_to_distortion(row) for row in values.tolist()]

        def compute(row: int) -> np.ndarray:
            return self._images.variant(row, distortions[row])

        return self._inputs(variant, batches, compute, count=len(self._images))

    def validation(self) -> Generator[np.ndarray, None, None]:
        """Yields the inputs for the validation images, undistorted and in order.

        Raises:
            UserError: If an image cannot be read.
        """
        backbone = self._backbone

        def decode(row: int) -> np.ndarray:
            return decode_undistorted(
                self._validation[row], backbone.height, backbone.width, fit=backbone.fit
            )

        count = len(self._validation)
        batches = np.split(np.arange(count), range(_BATCH_SIZE, count, _BATCH_SIZE))
        return self._inputs(_VALIDATION, batches, decode, count=count)

    def _inputs(
        self,
        key: int,
        batches: Sequence[np.ndarray],
        compute_pixels: Callable[[int], np.ndarray],
        *,
        count: int,
    ) -> Generator[np.ndarray, None, None]:
        """Yields activations from the store, or computes and saves them."""
        if self._store.is_complete(key):
            yield from (self._store.load(key, rows) for rows in batches)
            return
        order = (row for rows in batches for row in rows.tolist())
        with contextlib.closing(parallel_map(compute_pixels, order, processor_count())) as images:
            for rows in batches:
                pixels = np.stack([next(images) for _ in rows])
                if self._trainer.computes_activations:
                    activations = self._trainer.activations(pixels).numpy()
                    self._store.save(key, rows, activations, count=count)
                    yield activations
                else:
                    yield pixels


def _to_distortion(values: list[float]) -> Distortion:
    scale, left, top, brightness, mirror = values
    return Distortion(scale, left, top, brightness, mirrored=mirror < 0.5)
