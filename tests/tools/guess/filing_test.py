"""Images get to their places whole, or stay where they are."""

import os
import resource
import shutil
import tempfile
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from tools.guess import filing
from tools.guess.placing import COPY, HARD, MOVE, SYMBOLIC, FullError, Placing

_ALL = (COPY, MOVE, HARD, SYMBOLIC)
_OTHER_FILE_SYSTEM = Path("/dev/shm")


class FilingTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.source = self.folder / "source.jpg"
        self.source.write_bytes(b"picture")
        os.utime(self.source, (1, 2))
        self.target = self.folder / "new" / "folder" / "target.jpg"

    def place(self, how: str, target: Path | None = None) -> dict[int, str]:
        return filing.place_all([Placing(self.source, target or self.target)], how)

    def other_file_system(self) -> Path:
        if not os.access(_OTHER_FILE_SYSTEM, os.W_OK):
            self.skipTest(f"{_OTHER_FILE_SYSTEM} is not there")
        folder = Path(tempfile.mkdtemp(dir=_OTHER_FILE_SYSTEM))
        self.addCleanup(shutil.rmtree, folder)
        if folder.stat().st_dev == self.folder.stat().st_dev:
            self.skipTest("there is only one file system")
        return folder

    def no_leftovers(self) -> None:
        self.assertEmpty([*self.folder.rglob(".guess_dir*")])

    @parameterized.parameters(*_ALL)
    def test_ways(self, how: str):
        self.assertEmpty(self.place(how))
        self.assertEqual(self.target.read_bytes(), b"picture")
        self.assertEqual(self.target.stat().st_mtime, 2)
        self.assertEqual(self.source.exists(), how != MOVE)
        self.assertEqual(self.target.is_symlink(), how == SYMBOLIC)
        self.assertEqual(self.target.stat().st_nlink, 2 if how == HARD else 1)
        self.no_leftovers()

    @parameterized.parameters(*_ALL)
    def test_nothing_is_written_over(self, how: str):
        for make in (
            lambda: self.target.write_bytes(b"other"),
            lambda: self.target.symlink_to("x"),
        ):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            make()
            before = self.target.lstat()
            self.assertIn("there is another file at", self.place(how)[0])
            self.assertEqual(self.target.lstat(), before)
            self.assertEqual(self.source.read_bytes(), b"picture")
            self.target.unlink()

    @parameterized.parameters(*_ALL)
    def test_doing_it_again_changes_nothing(self, how: str):
        placing = Placing(self.source, self.target)
        self.place(how)
        before = self.target.lstat()
        self.assertEmpty(filing.finish_all([placing], how))
        self.assertEqual(self.target.lstat(), before)

    @parameterized.parameters(*_ALL)
    def test_one_that_vanished_does_not_stop_the_others(self, how: str):
        gone = Placing(self.folder / "gone.jpg", self.folder / "a.jpg")
        failed = filing.place_all([gone, Placing(self.source, self.target)], how)
        self.assertEqual(failed, {0: "it has vanished meanwhile"})
        self.assertEqual(self.target.read_bytes(), b"picture")

    def test_to_another_file_system(self):
        target = self.other_file_system() / "target.jpg"
        self.assertIn("another file system", self.place(HARD, target)[0])
        for how in (COPY, SYMBOLIC, MOVE):
            self.assertEmpty(self.place(how, target))
            self.assertEqual(target.read_bytes(), b"picture")
            self.assertEqual(list(target.parent.iterdir()), [target])
            self.assertEqual(self.source.exists(), how != MOVE)
            if how != MOVE:
                target.unlink()

    def test_a_file_system_without_hard_links(self):
        with mock.patch.object(os, "link", side_effect=PermissionError(1, "not permitted")):
            self.assertIn("no hard link to it can be made", self.place(HARD)[0])
            self.assertEmpty(self.place(COPY))
            self.target.unlink()
            self.assertEmpty(self.place(MOVE))
        self.assertEqual(self.target.read_bytes(), b"picture")
        self.assertFalse(self.source.exists())
        self.no_leftovers()

    def test_a_name_that_was_only_reserved_is_used_again(self):
        self.target.parent.mkdir(parents=True)
        self.target.touch()
        self.assertEmpty(filing.finish_all([Placing(self.source, self.target)], COPY))
        self.assertEqual(self.target.read_bytes(), b"picture")

    def test_links_are_copied_as_what_they_lead_to_and_moved_as_links(self):
        link = self.folder / "link.jpg"
        link.symlink_to("source.jpg")
        copy, moved = (Placing(link, self.target.with_name(name)) for name in ("copy", "moved"))
        self.assertEmpty(filing.place_all([copy], COPY))
        self.assertFalse(copy.target.is_symlink())
        self.assertEmpty(filing.place_all([moved], MOVE))
        self.assertEqual(moved.target.resolve(), self.source.resolve())
        self.assertFalse(link.is_symlink())
        self.assertEqual(self.source.read_bytes(), b"picture")

    @parameterized.parameters(COPY, MOVE)
    def test_no_room(self, how: str):
        self.source.write_bytes(bytes(100_000))
        target = self.other_file_system() / "target.jpg" if how == MOVE else self.target
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            with self.assertRaisesRegex(FullError, f"{target.parent} cannot be written: File too"):
                self.place(how, target)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        self.assertEqual(self.source.stat().st_size, 100_000)
        self.assertEmpty(list(target.parent.iterdir()))

    def test_a_file_where_a_folder_is_needed(self):
        (self.folder / "new").touch()
        with self.assertRaisesRegex(FullError, "cannot be made: Not a directory"):
            self.place(COPY)
        with self.assertRaisesRegex(FullError, "new is a file, where a folder is needed"):
            self.place(COPY, self.folder / "new" / "target.jpg")

    def test_a_name_that_is_too_long_is_left_out(self):
        failed = self.place(COPY, self.folder / ("x" * 300))
        self.assertIn("is not possible there: File name too long", failed[0])


if __name__ == "__main__":
    absltest.main()
