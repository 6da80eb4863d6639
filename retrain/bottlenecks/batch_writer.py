"""Writes computed bottlenecks to the cache in batches."""

import time

import numpy as np

from retrain.bottlenecks.recipes import Recipes
from retrain.bottlenecks.store import BottleneckStore
from retrain.bottlenecks.traits_cache import put_traits
from retrain.bottlenecks.vector_computer import ImageVectors

# A process that is killed loses at most the bottlenecks that it computed in this time.
_SECONDS_BETWEEN_WRITES = 1.0


class BatchWriter:
    """Collects bottlenecks and writes them about once a second.

    A context manager. It writes the rest when the block ends, even if an exception ends it.
    """

    def __init__(self, store: BottleneckStore) -> None:
        """Starts without bottlenecks. Create it before the first image is read."""
        self._store = store
        self._start_ns = time.time_ns()
        self._last_write = time.monotonic()
        self._waiting: list[tuple[Recipes, ImageVectors]] = []

    def __enter__(self) -> "BatchWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def add(self, recipes: Recipes, result: ImageVectors) -> None:
        """Adds the bottlenecks of an image. Writes all if the last write is over a second ago."""
        self._waiting.append((recipes, result))
        if time.monotonic() - self._last_write > _SECONDS_BETWEEN_WRITES:
            self._write()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        rows: dict[str, list[tuple[bytes, int, np.ndarray]]] = {}
        for recipes, result in waiting:
            for number, vector in zip(result.numbers, result.vectors, strict=True):
                recipe = recipes.of_variant(number)
                rows.setdefault(recipe, []).append((result.digest, number, vector))
        for recipe, vectors in rows.items():
            self._store.put_vectors(recipe, vectors)
        results = [result for _, result in waiting]
        put_traits(
            self._store,
            [(result.digest, result.traits) for result in results if result.traits is not None],
        )
        self._store.put_digests(
            [
                (result.version, result.digest)
                for result in results
                if result.version and result.version.is_settled(self._start_ns)
            ]
        )
        self._last_write = time.monotonic()
