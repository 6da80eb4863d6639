"""Two names are exchanged in one step, or the system says that it cannot."""

import ctypes
import errno
import sys
from pathlib import Path
from unittest import mock

from absl.testing import absltest

from retrain.system.outputs.exchange import ExchangeUnsupportedError, exchange


class ExchangeTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.first, self.second = self.folder / "first", self.folder / "second"

    def exchange(self) -> None:
        try:
            exchange(self.first, self.second)
        except ExchangeUnsupportedError:
            self.skipTest("this system or its file system cannot exchange names")

    def test_folders_are_exchanged(self):
        for folder in (self.first, self.second):
            folder.mkdir()
            (folder / f"in_{folder.name}").touch()
        self.exchange()
        self.assertTrue((self.first / "in_second").exists())
        self.assertTrue((self.second / "in_first").exists())

    def test_a_folder_and_a_link_are_exchanged(self):
        self.first.mkdir()
        self.second.symlink_to("first")
        self.exchange()
        self.assertTrue(self.first.is_symlink())
        self.assertFalse(self.second.is_symlink())

    def test_a_missing_folder_is_an_error(self):
        self.first.mkdir()
        with self.assertRaises(FileNotFoundError):
            self.exchange()
        self.assertTrue(self.first.exists())

    def test_linux_and_macos_can_do_it_on_the_usual_file_systems(self):
        self.first.mkdir()
        self.second.mkdir()
        if sys.platform not in ("linux", "darwin"):
            self.skipTest("another system")
        if hasattr(ctypes.CDLL(None), "renameat2") or sys.platform == "darwin":
            exchange(self.first, self.second)

    def test_a_file_system_that_cannot_do_it_is_recognized(self):
        for number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            with (
                mock.patch("retrain.system.outputs.exchange._exchange", return_value=number),
                self.assertRaises(ExchangeUnsupportedError),
            ):
                exchange(self.first, self.second)

    def test_a_system_without_the_call_is_recognized(self):
        with (
            mock.patch("ctypes.CDLL", return_value=object()),
            self.assertRaises(ExchangeUnsupportedError),
        ):
            exchange(self.first, self.second)


if __name__ == "__main__":
    absltest.main()
