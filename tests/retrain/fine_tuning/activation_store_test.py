"""Activations are kept in files without a name, as long as there is space."""

import contextlib
import errno
import logging
import os
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest

from retrain.fine_tuning import activation_store
from retrain.fine_tuning.activation_store import ActivationStore

_COUNT = 10
_ROWS = np.random.default_rng(0).permutation(_COUNT)


def _arrays(key: int) -> np.ndarray:
    rng = np.random.default_rng(key + 1)
    return rng.normal(size=(_COUNT, 3, 4, 5)).astype(np.float16)


class ActivationStoreTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path, "new")
        self.store = self.enter_context(ActivationStore(self.folder))

    def save(self, key: int, *, rows: np.ndarray = _ROWS) -> None:
        arrays = _arrays(key)
        for batch in np.array_split(rows, 3):
            self.store.save(key, batch, arrays[batch], count=_COUNT)

    def test_saved_arrays_are_loaded(self):
        for key in (-1, 0):
            self.save(key)
        for key in (-1, 0):
            self.assertTrue(self.store.is_complete(key))
            for rows in (_ROWS[:4], _ROWS[4:], np.arange(_COUNT)):
                loaded = self.store.load(key, rows)
                self.assertEqual(loaded.dtype, np.float16)
                np.testing.assert_array_equal(loaded, _arrays(key)[rows])

    def test_a_block_with_missing_arrays_is_not_complete(self):
        self.assertFalse(self.store.is_complete(0))
        self.save(0, rows=_ROWS[1:])
        self.assertFalse(self.store.is_complete(0))
        self.save(0, rows=_ROWS[:1])
        self.assertTrue(self.store.is_complete(0))

    def test_no_file_is_left_behind_even_while_it_is_used(self):
        self.save(0)
        self.assertEmpty(list(self.folder.iterdir()))

    def assert_full(self, *parts: str, attempts: int = 2) -> None:
        with self.assertLogs(level=logging.WARNING) as logs:
            for key in range(attempts):
                self.save(key)
                self.assertFalse(self.store.is_complete(key))
        (line,) = logs.output
        for part in (str(self.folder), "cannot hold", "takes longer", *parts):
            self.assertIn(part, line)
        self.assertNotIn("\n", line)

    def test_most_of_the_free_space_is_left_to_others(self):
        size = _arrays(0).nbytes
        with mock.patch.object(activation_store.shutil, "disk_usage") as usage:
            usage.return_value.free = 4 * size
            self.save(5)
            self.assertTrue(self.store.is_complete(5))
            usage.return_value.free = 4 * size - 1
            self.assert_full("0 MB are free")

    def test_a_full_disk_is_reported_once(self):
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with mock.patch.object(os, "pwrite", side_effect=full):
            self.assert_full(os.strerror(errno.ENOSPC))

    def test_a_partly_written_array_is_not_used(self):
        write = os.pwrite
        with mock.patch.object(os, "pwrite", lambda file, data, at: write(file, data[:7], at)):
            self.assert_full("the disk is full")

    def test_what_was_complete_stays_usable_when_the_disk_is_full(self):
        self.save(5)
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with mock.patch.object(os, "pwrite", side_effect=full), contextlib.suppress(OSError):
            self.save(6)
        np.testing.assert_array_equal(self.store.load(5, _ROWS), _arrays(5)[_ROWS])


if __name__ == "__main__":
    absltest.main()
