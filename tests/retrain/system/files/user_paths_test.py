"""Paths are relative to the folder in which the user typed the command."""

import os
from pathlib import Path
from unittest import mock

from absl.testing import absltest

from retrain.system.files.user_paths import user_path
from tests.support.python_code import run_python


class UserPathTest(absltest.TestCase):
    def set_variable(self, name: str, value: str | None) -> None:
        self.enter_context(mock.patch.dict(os.environ, {name: value or ""}))

    def test_paths_under_bazel_are_relative_to_the_folder_of_the_command(self):
        self.set_variable("BUILD_WORKING_DIRECTORY", "/somebody/here")
        self.assertEqual(user_path("photos"), Path("/somebody/here/photos"))
        self.assertEqual(user_path("./a/../../b/"), Path("/somebody/b"))
        self.assertEqual(user_path(""), Path("/somebody/here"))

    def test_paths_without_bazel_are_relative_to_the_current_folder(self):
        self.set_variable("BUILD_WORKING_DIRECTORY", None)
        self.assertEqual(user_path("photos"), Path.cwd() / "photos")

    def test_absolute_paths_are_unchanged(self):
        self.set_variable("BUILD_WORKING_DIRECTORY", "/somebody/here")
        self.assertEqual(user_path("/tmp/x.pb"), Path("/tmp/x.pb"))
        self.assertEqual(user_path(Path("/tmp/x.pb")), Path("/tmp/x.pb"))

    def test_the_home_folder_is_expanded(self):
        self.set_variable("BUILD_WORKING_DIRECTORY", "/somebody/here")
        self.set_variable("HOME", "/somebody")
        self.assertEqual(user_path("~/photos"), Path("/somebody/photos"))

    def test_the_home_folder_of_an_unknown_user_is_a_file_name(self):
        self.set_variable("BUILD_WORKING_DIRECTORY", "/somebody/here")
        self.assertEqual(user_path("~no_such_user"), Path("/somebody/here/~no_such_user"))

    def test_symbolic_links_are_not_resolved(self):
        folder = Path(self.create_tempdir().full_path)
        (folder / "link").symlink_to("elsewhere")
        self.set_variable("BUILD_WORKING_DIRECTORY", str(folder))
        self.assertEqual(user_path("link"), folder / "link")

    def test_two_dots_after_a_link_are_the_folder_above_its_target(self):
        folder = Path(os.path.realpath(self.create_tempdir().full_path))
        (folder / "a/b").mkdir(parents=True)
        (folder / "a/link").symlink_to("elsewhere")
        (folder / "to_b").symlink_to("a/b")
        self.set_variable("BUILD_WORKING_DIRECTORY", str(folder))
        self.assertEqual(user_path("to_b/../link"), folder / "a/link")
        self.assertEqual(user_path("to_b/../new"), folder / "a/new")
        self.assertEqual(user_path("to_b/.."), folder / "a")
        self.assertEqual(user_path("to_b/new/../x"), folder / "to_b/x")

    def test_only_absolute_paths_can_be_used_if_the_current_folder_was_deleted(self):
        done = run_python(
            """
import os, tempfile
from retrain.errors import UserError
from retrain.system.files.user_paths import user_path
os.chdir(tempfile.mkdtemp())
os.rmdir(os.getcwd())
print(user_path("/x"))
try:
    user_path("x")
except UserError as error:
    print(error)
"""
        )
        self.assertRegex(done.stdout, r"\A/x\nthe current folder has been deleted; .*\n\Z")


if __name__ == "__main__":
    absltest.main()
