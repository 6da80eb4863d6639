"""Tests that a killed process loses only the batch that it is writing, and damages nothing."""

import contextlib
import hashlib
import multiprocessing
import os
import random
import sqlite3
import struct
import tempfile
import time
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.bottlenecks.sqlite_schema import DIGEST
from retrain.bottlenecks.store import FILE_NAME, open_store

_KILLS = 20
_BATCH = 16
_WIDTH = 1280


def _keys(run: int, batch: int) -> list[tuple[bytes, int]]:
    return [(hashlib.sha256(f"{run} {batch} {i}".encode()).digest(), 0) for i in range(_BATCH)]


def _vector(digest: bytes) -> np.ndarray:
    return np.random.default_rng(list(digest)).random(_WIDTH, np.float32).astype(np.float16)


def _put_until_killed(folder: Path, run: int, descriptor: int) -> None:
    """Stores batch after batch, and writes the number of each stored batch to `descriptor`."""
    with open_store(folder) as store:
        batch = 0
        while True:
            rows = [(digest, variant, _vector(digest)) for digest, variant in _keys(run, batch)]
            store.put_vectors("recipe", rows)
            os.write(descriptor, struct.pack("<i", batch))
            batch += 1


class BottleneckStoreCrashTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.enter_context(tempfile.TemporaryDirectory()))
        # A fork is fast, and safe because the parent has neither threads nor an open cache.
        self.processes = multiprocessing.get_context("fork")

    def put_and_kill(self, run: int, seconds: float) -> int:
        """Returns the number of batches that the process stored before it was killed."""
        reading, writing = os.pipe()
        process = self.processes.Process(target=_put_until_killed, args=(self.folder, run, writing))
        process.start()
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            reports = pipe.read(4)
            time.sleep(seconds)
            process.kill()
            reports += pipe.read()
        process.join()
        self.assertLess(process.exitcode or 0, 0, "the process exited before it was killed")
        return len(reports) // 4

    def test_killed_at_random_moments(self):
        moments = random.Random(1)
        batches_of_run = [self.put_and_kill(run, moments.uniform(0, 0.2)) for run in range(_KILLS)]
        self.assertGreater(min(batches_of_run), 0)

        with contextlib.closing(sqlite3.connect(self.folder / FILE_NAME)) as raw:
            self.assertEqual(raw.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            stored = {digest for (digest,) in raw.execute(f"SELECT {DIGEST} FROM bottlenecks")}

        with open_store(self.folder) as store:
            for run, batches in enumerate(batches_of_run):
                # One more batch can be stored: the process was killed before it reported the batch.
                keys = [key for batch in range(batches + 1) for key in _keys(run, batch)]
                vectors = np.empty((len(keys), _WIDTH), np.float16)
                found = store.get_vectors("recipe", keys, vectors)
                self.assertTrue(found[: batches * _BATCH].all(), "a batch was lost")
                self.assertIn(
                    found.sum() - batches * _BATCH, (0, _BATCH), "a part of a batch was stored"
                )
                for (digest, _), vector, is_found in zip(keys, vectors, found, strict=True):
                    if is_found:
                        np.testing.assert_array_equal(vector, _vector(digest))
                        stored.remove(digest)
        self.assertEmpty(stored, "the store has vectors that were not put")


if __name__ == "__main__":
    absltest.main()
