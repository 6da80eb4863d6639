"""Tests that only regular files are read, and that nothing else blocks the program."""

import os
import socket
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.system.regular_files import check_not_special, read_regular_file


class RegularFilesTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        # The path of a socket must be short.
        folder = tempfile.TemporaryDirectory(dir="/tmp")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_files_and_links_to_them_are_read(self):
        path, link = self.folder / "a", self.folder / "b"
        path.write_bytes(b"x")
        link.symlink_to(path)
        self.assertEqual([read_regular_file(file) for file in (path, link)], [b"x", b"x"])

    def test_pipes_sockets_and_devices_are_refused_at_once(self):
        pipe, link, address = (self.folder / name for name in ("pipe", "link", "socket"))
        os.mkfifo(pipe)
        link.symlink_to(pipe)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(address))
            for path, kind in (
                (pipe, "a pipe"),
                (link, "a pipe"),
                (address, "a socket"),
                (Path("/dev/zero"), "a device"),
            ):
                for function in (read_regular_file, check_not_special):
                    with self.assertRaises(OSError) as raised:
                        function(path)
                    self.assertEqual(raised.exception.strerror, f"it is {kind}, not a file")

    def test_missing_files_and_folders_are_errors(self):
        with self.assertRaises(FileNotFoundError):
            read_regular_file(self.folder / "none")
        with self.assertRaises(FileNotFoundError):
            check_not_special(self.folder / "none")
        with self.assertRaises(IsADirectoryError):
            read_regular_file(self.folder)
        check_not_special(self.folder)


if __name__ == "__main__":
    absltest.main()
