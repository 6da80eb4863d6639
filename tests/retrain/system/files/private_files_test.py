"""Files in caches are opened without links, and folders are for this user."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.system.files.private_files import (
    check_private,
    create_private_folders,
    open_private,
    read_private,
)
from tests.support import other_users

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class PrivateFilesTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = self.folder / "x.part"
        self.precious = self.folder / "precious"
        self.precious.write_text("precious")

    def assert_refused(self, reason: str) -> None:
        for flags in (_APPEND, os.O_WRONLY | os.O_TRUNC):
            with self.assertRaisesRegex(OSError, reason):
                open_private(self.file, flags)
        self.assertEqual(self.precious.read_text(), "precious")

    def test_files_are_created_written_and_emptied(self):
        for mode, content in (("ab", b"aa"), ("ab", b"aaaa"), ("wb", b"aa")):
            with open(self.file, mode, opener=open_private) as file:
                file.write(b"aa")
            self.assertEqual(self.file.read_bytes(), content)
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)

    def test_the_content_or_its_beginning_is_read(self):
        self.assertEqual(read_private(self.precious), b"precious")
        self.assertEqual(read_private(self.precious, max_bytes=3), b"pre")
        self.file.symlink_to(self.precious)
        with self.assertRaisesRegex(OSError, "it is a symbolic link"):
            read_private(self.file)

    def test_links_are_not_followed(self):
        self.file.symlink_to(self.precious)
        self.assert_refused("it is a symbolic link")
        self.file.unlink()
        self.file.symlink_to(self.folder / "new")
        self.assert_refused("it is a symbolic link")
        self.assertFalse((self.folder / "new").exists())

    def test_a_second_name_of_a_file_is_not_written(self):
        self.file.hardlink_to(self.precious)
        self.assert_refused("it is a hard link")
        os.close(open_private(self.file, os.O_RDONLY))

    def test_pipes_and_folders_are_refused_at_once(self):
        os.mkfifo(self.file)
        with self.assertRaisesRegex(OSError, "it is not a regular file"):
            open_private(self.file, os.O_RDONLY)
        with self.assertRaisesRegex(OSError, "it is not a regular file"):
            open_private(self.folder, os.O_RDONLY)

    def test_a_file_of_another_user_in_a_folder_for_everyone_is_refused(self):
        self.folder.chmod(0o777)
        other_users.make_file(self, self.file)
        with self.assertRaisesRegex(OSError, "it belongs to another user"):
            open_private(self.file, os.O_RDONLY)
        self.folder.chmod(0o755)
        os.close(open_private(self.file, os.O_RDONLY))

    def test_new_folders_are_private(self):
        previous = os.umask(0)
        self.addCleanup(os.umask, previous)
        create_private_folders(self.folder / "a/b/c")
        create_private_folders(self.folder / "a/b/c")
        for name in ("a", "a/b", "a/b/c"):
            self.assertEqual(stat.S_IMODE((self.folder / name).stat().st_mode), 0o700)

    def test_files_that_a_library_opens_are_checked_without_opening_them(self):
        file = self.file
        with self.assertRaises(FileNotFoundError):
            check_private(file)
        file.touch()
        check_private(file)
        (self.folder / "link").symlink_to(file)
        with self.assertRaisesRegex(OSError, "it is a symbolic link"):
            check_private(self.folder / "link")
        with self.assertRaisesRegex(OSError, "it is not a regular file"):
            check_private(self.folder)
        os.link(file, self.folder / "name")
        with self.assertRaisesRegex(OSError, "it is a hard link"):
            check_private(file)


if __name__ == "__main__":
    absltest.main()
