"""Keeps track of the bottlenecks of a split: which are known, computed and missing."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from retrain.backbones.engines import Engine
from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.recipes import Recipes
from retrain.bottlenecks.store import BottleneckStore
from retrain.bottlenecks.vector_computer import ImageVectors
from retrain.data.dataset import ImageFile
from retrain.system.batches import batches
from retrain.system.files.large_arrays import create_array
from retrain.training_options import DistortionOptions

# Identifies a bottleneck: recipe, SHA-256 of the image file, number of the variant.
Key = tuple[str, bytes, int]

_IMAGES_PER_READ = 1024


class VectorTable:
    """The bottlenecks of the images of one split.

    Attributes:
        images: N images.
        engine: Engine that computes their bottlenecks.
        distortions: Kinds, limits and number of the distortions of each image.
        recipes: Recipes of the bottlenecks.
        vectors: float16 [N, variants, feature_width]; undefined for missing bottlenecks. Variant 0
            is the image itself.
        unreadable: Reason for each image that cannot be read.
    """

    def __init__(
        self,
        images: Sequence[ImageFile],
        engine: Engine,
        distortions: DistortionOptions,
        *,
        feature_width: int,
        folder: Path,
    ) -> None:
        """Creates a table in which all bottlenecks are missing.

        Args:
            images: Images of the split.
            engine: Engine that computes their bottlenecks.
            distortions: Kinds, limits and number of the distortions of each image.
            feature_width: Number of values in a bottleneck.
            folder: Folder for a temporary file with the bottlenecks, if they are larger than the
                memory.
        """
        variants = 1 + distortions.cached
        self.images = images
        self.engine = engine
        self.distortions = distortions
        self.recipes = Recipes.build(engine.recipe, distortions)
        self.vectors = create_array((len(images), variants, feature_width), np.float16, folder)
        self.unreadable: dict[Path, str] = {}
        self._digests: list[bytes | None] = [None] * len(images)
        self._present = np.zeros((len(images), variants), bool)
        self._computed = np.zeros((len(images), variants), bool)

    def read_known_files(self, store: BottleneckStore) -> None:
        """Reads the bottlenecks of all files whose present version is in the store."""
        self._digests = store.get_digests([FileVersion.of(image.path) for image in self.images])
        self.read(store, [row for row, digest in enumerate(self._digests) if digest])

    def read(self, store: BottleneckStore, rows: Sequence[int]) -> None:
        """Reads the bottlenecks of images whose digest is known."""
        variants = self.vectors.shape[1]
        # In batches, so that the vectors are not in memory twice.
        for batch in batches(rows, _IMAGES_PER_READ):
            batch_rows = np.array(batch)
            digests = [self._digests[row] or b"" for row in batch]
            for number in range(variants):
                vectors = np.empty((len(batch), self.vectors.shape[2]), np.float16)
                keys = [(digest, number) for digest in digests]
                found = store.get_vectors(self.recipes.of_variant(number), keys, vectors)
                self.vectors[batch_rows[found], number] = vectors[found]
                self._present[batch_rows[found], number] = True

    def stored_variants(self, store: BottleneckStore) -> dict[bytes, int]:
        """Returns the result of `BottleneckStore.stored_variants` for both recipes."""
        _, variants, feature_width = self.vectors.shape
        stored = store.stored_variants(self.recipes.undistorted, feature_width)
        if variants > 1:
            distorted = store.stored_variants(self.recipes.distorted, feature_width)
            for digest, numbers in distorted.items():
                stored[digest] = stored.get(digest, 0) | numbers
        return stored

    def add(self, result: ImageVectors) -> None:
        """Adds the bottlenecks of an image that was read."""
        if self._digests[result.row] not in (None, result.digest):
            # The file changed during this run, and the vectors in the table are those of the old
            # content.
            self._present[result.row] = False
        self._digests[result.row] = result.digest
        self.vectors[result.row, result.numbers] = result.vectors
        self._present[result.row, result.numbers] = True
        self._computed[result.row, result.numbers] = True

    def mark_unreadable(self, row: int, reason: str) -> None:
        """Records that an image cannot be read."""
        self.unreadable[self.images[row].path] = reason
        self._digests[row] = None

    def incomplete_rows(self) -> list[int]:
        """Returns the indices of the readable images that lack bottlenecks."""
        rows = np.flatnonzero(~self._present.all(axis=1)).tolist()
        return [row for row in rows if self.images[row].path not in self.unreadable]

    def count_missing(self, row: int | None = None) -> int:
        """Returns the number of missing bottlenecks of one image, or of all readable images."""
        present = self._present[self.incomplete_rows() if row is None else row]
        return present.size - int(np.count_nonzero(present))

    def images_and_digests(self) -> list[tuple[ImageFile, bytes]]:
        """Returns each image that was read with the SHA-256 of its file."""
        pairs = zip(self.images, self._digests, strict=True)
        return [(image, digest) for image, digest in pairs if digest]

    def count_computed(self) -> int:
        """Returns the number of bottlenecks that were computed."""
        return int(self._computed.sum())

    def computed_keys(self) -> Iterator[Key]:
        """Yields the keys of the bottlenecks that were computed."""
        return self._keys(self._computed)

    def count_reused(self, computed_before: Collection[Key]) -> int:
        """Returns the number of bottlenecks that were in the cache before this run.

        Args:
            computed_before: Keys that this run computed for other tables.
        """
        reused = self._present & ~self._computed
        if not computed_before:
            return int(reused.sum())
        return sum(key not in computed_before for key in self._keys(reused))

    def _keys(self, mask: np.ndarray) -> Iterator[Key]:
        for row, number in np.argwhere(mask).tolist():
            yield self.recipes.of_variant(number), self._digests[row] or b"", number
