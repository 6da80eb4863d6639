"""Caches small records about images like bottlenecks, as a vector with a number for each byte."""

from collections.abc import Iterable, Sequence

import numpy as np

from retrain.bottlenecks.store import BottleneckStore

_VARIANT = 0


def put_records(
    store: BottleneckStore, recipe: str, records: Iterable[tuple[bytes, np.ndarray]]
) -> None:
    """Stores records.

    Args:
        store: Cache.
        recipe: Text of everything that determines a record besides the image.
        records: SHA-256 of each image, and its record, a scalar of a structured dtype.
    """
    rows = [
        (digest, _VARIANT, np.frombuffer(record.tobytes(), np.uint8).astype(np.float16))
        for digest, record in records
    ]
    if rows:
        store.put_vectors(recipe, rows)


def get_records(
    store: BottleneckStore, recipe: str, digests: Sequence[bytes | None], dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Reads the records of images.

    Args:
        store: Cache.
        recipe: As for `put_records`.
        digests: SHA-256 of N images; None for an image whose record is unknown.
        dtype: Type of the records.

    Returns:
        Records, [N], zeros if missing; and whether each was found, bool [N].
    """
    records = np.zeros(len(digests), dtype)
    present = np.zeros(len(digests), bool)
    rows = np.array([row for row, digest in enumerate(digests) if digest], np.int64)
    if len(rows):
        vectors = np.empty((len(rows), dtype.itemsize), np.float16)
        keys = [(digest, _VARIANT) for digest in digests if digest]
        found = store.get_vectors(recipe, keys, vectors)
        records[rows[found]] = vectors[found].astype(np.uint8).view(dtype)[:, 0]
        present[rows[found]] = True
    return records, present
