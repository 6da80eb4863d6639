"""Caches are in folders that no other user can fill."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.system.files import cache_folder
from retrain.system.files.cache_folder import check_cache_folder, default_cache_folder
from retrain.system.files.private_files import create_private_folders, open_private
from tests.support import other_users


class CacheFolderTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.old = self.folder / "bottleneck"
        self.home = self.folder / "home"
        self.home.mkdir()
        self.enter_context(absltest.mock.patch.object(cache_folder, "_OLD_CACHE", self.old))
        variables = {"HOME": str(self.home), "TMPDIR": str(self.folder)}
        self.enter_context(absltest.mock.patch.dict(os.environ, variables))
        os.environ.pop("XDG_CACHE_HOME", None)
        self.enter_context(absltest.mock.patch.object(tempfile, "tempdir", None))

    def test_the_cache_is_in_the_users_cache_folder(self):
        self.assertEqual(default_cache_folder(), self.home / ".cache/retrain")
        os.environ["XDG_CACHE_HOME"] = "/other/cache"
        self.assertEqual(default_cache_folder(), Path("/other/cache/retrain"))
        os.environ["XDG_CACHE_HOME"] = "relative"
        self.assertEqual(default_cache_folder(), self.home / ".cache/retrain")

    @parameterized.parameters("missing", "shared", "relative")
    def test_without_a_private_home_the_cache_is_next_to_temporary_files(self, home: str):
        if home == "missing":
            os.environ["HOME"] = str(self.folder / "none")
        elif home == "relative":
            os.environ["HOME"] = "home"
        else:
            self.home.chmod(0o777)
        with self.assertLogs(level="INFO") as logged:
            default = default_cache_folder()
        self.assertEqual(default, self.folder / f"retrain-{os.geteuid()}" / ".cache/retrain")
        self.assertIn("there is no home folder that only you can write to", logged.output[0])
        create_private_folders(default)
        self.assertEqual(stat.S_IMODE(default.parent.parent.stat().st_mode), 0o700)

    def test_an_old_cache_is_used_if_it_is_private_until_there_is_a_new_one(self):
        self.old.mkdir(0o755)
        with self.assertLogs(level="INFO") as logged:
            self.assertEqual(default_cache_folder(), self.old)
        self.assertIn("to keep it, move it to", logged.output[0])
        self.old.chmod(0o777)
        self.assertEqual(default_cache_folder(), self.home / ".cache/retrain")
        self.old.chmod(0o755)
        (self.old / "backbones").mkdir()
        (self.old / "backbones").chmod(0o777)
        self.assertEqual(default_cache_folder(), self.home / ".cache/retrain")
        (self.old / "backbones").chmod(0o755)
        self.assertEqual(default_cache_folder(), self.old)
        create_private_folders(self.home / ".cache/retrain")
        self.assertEqual(default_cache_folder(), self.home / ".cache/retrain")

    def test_an_old_cache_of_another_user_is_not_used(self):
        self.folder.chmod(0o1777)
        other_users.make_folder(self, self.old)
        self.assertEqual(default_cache_folder(), self.home / ".cache/retrain")

    def test_folders_that_everyone_can_write_to_are_refused(self):
        self.folder.chmod(0o777)
        for mode in (0o777, 0o1777):
            self.home.chmod(mode)
            with self.assertRaisesRegex(
                UserError, f"^--x={self.home} is not safe as a cache: everyone can write to it; "
            ):
                check_cache_folder(self.home, "--x")
        self.home.chmod(0o755)
        check_cache_folder(self.home, "--x")
        check_cache_folder(self.home / "new/folder", "--x")
        (self.home / "backbones").mkdir()
        (self.home / "backbones").chmod(0o777)
        with self.assertRaisesRegex(UserError, "everyone can write to backbones in it"):
            check_cache_folder(self.home, "--x")

    def test_folders_for_a_group_are_refused_unless_the_user_names_them(self):
        other_users.give_to_group(self, self.home)
        self.home.chmod(0o2775)
        with self.assertRaisesRegex(UserError, "another user or a group can write to it"):
            check_cache_folder(self.home, "--x", is_default=True)
        check_cache_folder(self.home, "--x")
        create_private_folders(self.home / "backbones")
        self.assertEqual((self.home / "backbones").stat().st_gid, self.home.stat().st_gid)
        self.assertTrue((self.home / "backbones").stat().st_mode & stat.S_IRGRP)
        self.addCleanup(os.umask, os.umask(0o007))
        os.close(open_private(self.home / "lock", os.O_RDWR | os.O_CREAT))
        self.assertEqual(stat.S_IMODE((self.home / "lock").stat().st_mode), 0o660)

    def test_a_folder_of_another_user_is_refused_unless_a_group_shares_it(self):
        self.folder.chmod(0o777)
        other_users.make_folder(self, self.folder / "shared")
        self.folder.chmod(0o755)
        cache = self.folder / "shared"
        with self.assertRaisesRegex(
            UserError, f"^--x={cache} is not safe as a cache: it belongs to the user with number"
        ):
            check_cache_folder(cache, "--x")
        cache.chmod(0o2775)
        with self.assertRaisesRegex(UserError, "it belongs to the user"):
            check_cache_folder(cache, "--x")
        os.chown(cache, -1, os.getegid())
        check_cache_folder(cache, "--x")

    @parameterized.parameters("folder", "link", "above")
    def test_what_another_user_put_into_a_folder_for_everyone_is_refused(self, kind: str):
        self.folder.chmod(0o1777)
        cache = self.folder / "cache"
        if kind == "link":
            other_users.make_link(self, cache, self.home)
        else:
            other_users.make_folder(self, cache)
        if kind == "above":
            cache /= "mine"
            cache.mkdir()
        name = self.folder / "cache"
        with self.assertRaisesRegex(
            UserError,
            f"^--x={cache} is not safe as a cache: {name} belongs to the user .*, and everyone can "
            f"write to {self.folder}; choose a folder in your home folder$",
        ):
            check_cache_folder(cache, "--x")

    def test_a_link_by_the_user_is_followed(self):
        self.folder.chmod(0o1777)
        (self.folder / "cache").symlink_to(self.home)
        check_cache_folder(self.folder / "cache", "--x")
        (self.folder / "other").symlink_to("cache/../loop")
        (self.folder / "loop").symlink_to("other")
        check_cache_folder(self.folder / "loop", "--x")


if __name__ == "__main__":
    absltest.main()
