"""Large arrays are in files that need no memory and leave nothing behind."""

from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.errors import UserError
from retrain.system.files import large_arrays


class LargeArraysTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def limit(self, *, memory: float):
        self.enter_context(absltest.mock.patch.object(large_arrays, "_MIN_FILE_BYTES", 1))
        self.enter_context(
            absltest.mock.patch.object(large_arrays, "_memory_bytes", lambda: memory)
        )

    def create(self, rows: int) -> np.ndarray:
        return large_arrays.create_array((rows, 3), np.float16, self.folder)

    def test_a_small_array_is_in_memory(self):
        self.limit(memory=10**9)
        self.assertIsNone(self.create(1000).base)

    def test_a_large_array_is_in_a_file_without_a_name(self):
        self.limit(memory=1000)
        array = self.create(1000)
        self.assertIsInstance(array.base, np.memmap)
        self.assertEmpty(list(self.folder.iterdir()))
        values = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float16)
        array[:] = values
        np.testing.assert_array_equal(array, values)
        np.testing.assert_array_equal(array[::7], values[::7])

    def test_an_empty_array(self):
        self.limit(memory=0)
        self.assertEqual(self.create(0).shape, (0, 3))

    def test_a_full_disk_is_one_line(self):
        self.limit(memory=1000)
        with self.assertRaisesRegex(UserError, "cannot be written: (No space|File too large)"):
            self.create(10**16)

    def test_the_memory_of_this_machine_is_known(self):
        self.assertBetween(large_arrays._memory_bytes(), 10**8, 10**14)


if __name__ == "__main__":
    absltest.main()
