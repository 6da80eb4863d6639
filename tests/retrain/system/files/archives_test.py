"""ZIP archives that were made to fill the memory are refused."""

import io
import os
import zipfile
from unittest import mock

from absl.testing import absltest, parameterized

from retrain.model_limits import ModelLimits
from retrain.system.files import archives
from retrain.system.files.archives import ArchiveError

_SMALL = ModelLimits(entries=5, small_bytes=200_000, unpacked_ratio=3)


class ZipTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.enter_context(mock.patch.object(archives, "LIMITS", _SMALL))

    def zip(self, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return file

    def assert_refused(self, file: io.BytesIO, reason: str, *, max_bytes: int = 100) -> None:
        with (
            self.assertRaisesRegex(ArchiveError, reason),
            archives.open_zip(file) as archive,
        ):
            archives.read_zip_entry(archive, "a", max_bytes)

    def test_a_file_is_read(self):
        with archives.open_zip(self.zip({"a": b"text", "b": b""})) as archive:
            self.assertEqual(archives.read_zip_entry(archive, "a", 4), b"text")

    def test_limits(self):
        self.assert_refused(self.zip({"a": b"x" * 101}), "its a has 101 bytes.*limit of 100")
        self.assert_refused(self.zip({"b": bytes(200_001)}), "unpack to more than the 200,000")
        self.assert_refused(self.zip({f"{i}": b"" for i in range(6)}), "more than 5 files")

    @parameterized.parameters(zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    def test_unusual_compression_is_refused(self, method: int):
        self.assert_refused(self.zip({"a": b"text"}, method), "not compressed by deflate")

    def test_a_file_that_is_larger_than_stated_is_refused(self):
        file = self.zip({"a": bytes(50)})
        data = file.getvalue()
        small = data.replace((50).to_bytes(4, "little"), (5).to_bytes(4, "little"))
        self.assert_refused(io.BytesIO(small), "damaged ZIP archive")

    def test_damaged_archives_are_refused(self):
        data = self.zip({"a": os.urandom(50)}).getvalue()
        for damaged in (b"", b"text", data[:-5], data[20:], data.replace(b"PK\1\2", b"PK\1\3")):
            self.assert_refused(io.BytesIO(damaged), "damaged ZIP archive")


if __name__ == "__main__":
    absltest.main()
