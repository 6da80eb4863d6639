"""Tests that only regular files are read, and that nothing else blocks the program."""

import os
import socket
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from absl.testing import absltest

from retrain.system.files import regular_files
from retrain.system.files.regular_files import (
    check_not_special,
    open_regular_file,
    read_bounded,
    read_regular_file,
)


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


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

    def test_a_file_that_is_too_large_is_refused_before_it_is_read(self):
        path = self.folder / "sparse"
        with path.open("wb") as file:
            file.truncate(40 << 30)
        with self.assertRaises(OSError) as raised:
            read_regular_file(path, 1000)
        self.assertEqual(
            raised.exception.strerror, "it has 42,949,672,960 bytes, more than the maximum of 1,000"
        )

    def test_a_file_with_the_maximum_size_is_read(self):
        path = self.folder / "a"
        path.write_bytes(b"x" * 1000)
        self.assertLen(read_regular_file(path, 1000), 1000)

    @unittest.skipUnless(sys.platform == "linux", "other systems have no such files")
    def test_a_file_that_states_no_size_is_read_up_to_the_maximum(self):
        self.assertEqual(read_regular_file(Path("/proc/self/comm"), 1000), _read("/proc/self/comm"))
        with self.assertRaises(OSError) as raised:
            read_regular_file(Path("/proc/self/pagemap"), 1000)
        self.assertIn("more than the maximum of 1,000", raised.exception.strerror)

    def test_a_file_that_grows_is_read_up_to_the_maximum(self):
        path = self.folder / "a"
        path.write_bytes(b"x" * 10)
        with open_regular_file(path) as file:
            status = os.fstat(file.fileno())
            path.write_bytes(b"x" * 5000)
            with mock.patch.object(os, "fstat", return_value=status):
                self.assertRaisesRegex(OSError, "1,000", read_bounded, file, 1000)

    def test_a_pipe_that_takes_the_place_of_a_file_is_refused(self):
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        with (
            mock.patch.object(regular_files, "check_not_special"),
            self.assertRaisesRegex(OSError, "a pipe, not a file"),
        ):
            read_regular_file(pipe, 1000)

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
