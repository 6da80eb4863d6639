"""HDF5 files that would keep their reader busy forever are refused."""

import io
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.runtimes.hdf5_check import check_hdf5
from retrain.runtimes.runtime import ModelError


def _file(*, before: int = 0) -> io.BytesIO:
    """Returns a file with a list of texts after this many bytes of numbers."""
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        # Other random numbers could contain the beginning of a list of texts.
        content["numbers"] = np.random.default_rng(0).integers(0, 256, before, np.uint8)
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
            position = self.find_free_space(data, start)
            self.assertLess(position, end)
            data[position + 8 : position + 16] = bytes(8)
            with self.assertRaisesRegex(ModelError, "a list of texts in it has no end"):
                check_hdf5(io.BytesIO(bytes(data)))

    def find_free_space(self, data: bytes, heap: int) -> int:
        position = heap + 16
        while number := int.from_bytes(data[position : position + 2], "little"):
            self.assertLess(number, 3)
            size = int.from_bytes(data[position + 8 : position + 16], "little")
            position += 16 + (size + 7) // 8 * 8
        return position

    def test_a_list_of_texts_without_an_end_behind_free_space_is_refused(self):
        data = bytearray(_file().getvalue())
        position = self.find_free_space(data, data.index(b"GCOL"))
        data[position + 8 : position + 16] = (16).to_bytes(8, "little")
        with self.assertRaisesRegex(ModelError, "a list of texts in it has no end"):
            check_hdf5(io.BytesIO(bytes(data)))

    def test_lists_of_texts_that_overlap_are_refused(self):
        heaps = b"".join(
            b"GCOL\1\0\0\0" + (16 * (1000 - number)).to_bytes(8, "little") for number in range(1000)
        )
        with self.assertRaisesRegex(ModelError, "lists of texts in it overlap"):
            check_hdf5(io.BytesIO(_file().getvalue() + heaps))

    def test_many_beginnings_of_lists_of_texts_are_checked_in_linear_time(self):
        # Reading 16 MB at each of them would take hours.
        check_hdf5(io.BytesIO(_file().getvalue() + b"GCOL\1" * 100_000))

    def test_a_file_with_short_numbers_is_refused(self):
        import h5py

        properties = h5py.h5p.create(h5py.h5p.FILE_CREATE)
        properties.set_sizes(4, 4)
        path = Path(self.create_tempfile().full_path)
        h5py.h5f.create(bytes(path), h5py.h5f.ACC_TRUNC, fcpl=properties).close()
        with path.open("rb") as file, self.assertRaisesRegex(ModelError, "unusual way"):
            check_hdf5(file)


if __name__ == "__main__":
    absltest.main()
