"""Files and folders are flushed to the disk, and errors of the disk are reported."""

import errno
from pathlib import Path
from unittest import mock

from absl.testing import absltest

from retrain.system.files.flush import flush_file, flush_folder


class FlushTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.file = self.folder / "file"
        self.file.write_text("content")

    def test_the_descriptor_that_is_flushed_is_that_of_the_path(self):
        inodes = []
        with mock.patch("os.fsync", lambda number: inodes.append(Path(f"/dev/fd/{number}").stat())):
            flush_file(self.file)
            flush_folder(self.folder)
        self.assertEqual(
            [inode.st_ino for inode in inodes],
            [path.stat().st_ino for path in (self.file, self.folder)],
        )

    def test_a_file_system_that_does_not_flush_folders_is_accepted(self):
        with mock.patch("os.fsync", side_effect=OSError(errno.EINVAL, "Invalid argument")):
            flush_folder(self.folder)

    def test_a_damaged_disk_is_an_error(self):
        with mock.patch("os.fsync", side_effect=OSError(errno.EIO, "Input/output error")):
            for flush, path in ((flush_folder, self.folder), (flush_file, self.file)):
                with self.assertRaisesRegex(OSError, "Input/output error"):
                    flush(path)


if __name__ == "__main__":
    absltest.main()
