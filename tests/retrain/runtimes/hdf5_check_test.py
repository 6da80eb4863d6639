"""HDF5 files that would keep their reader busy forever are refused."""

import io
import os

import numpy as np
from absl.testing import absltest

from retrain.runtimes.hdf5_check import check_hdf5
from retrain.runtimes.runtime import ModelError


def _file(*, before: int = 0) -> io.BytesIO:
    """Returns a file with a list of texts after this many bytes of numbers."""
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        content["numbers"] = np.frombuffer(os.urandom(before), np.uint8)
        content.flush()
        content.attrs["names"] = np.array(["one", "two"], h5py.string_dtype())
    return file


class HDF5CheckTest(absltest.TestCase):
    def test_an_intact_file_is_at_its_beginning_afterwards(self):
        file = _file()
        check_hdf5(file)
        self.assertEqual(file.tell(), 0)

    def test_a_list_of_texts_without_an_end_is_refused(self):
        for before in (0, (1 << 24) + 3, (1 << 25) - 100):
            data = bytearray(_file(before=before).getvalue())
            start = data.index(b"GCOL")
            end = start + int.from_bytes(data[start + 8 : start + 16], "little")
            position = start + 16
            while number := int.from_bytes(data[position : position + 2], "little"):
                self.assertLess(number, 3)
                size = int.from_bytes(data[position + 8 : position + 16], "little")
                position += 16 + (size + 7) // 8 * 8
            self.assertLess(position, end)
            data[position + 8 : position + 16] = bytes(8)
            with self.assertRaisesRegex(ModelError, "a list of texts in it has no end"):
                check_hdf5(io.BytesIO(bytes(data)))


if __name__ == "__main__":
    absltest.main()
