"""Paths are relative to the folder in which the user typed the command."""

import os
from pathlib import Path
from unittest import mock

from absl.testing import absltest

from retrain.system.files.user_paths import user_path


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


if __name__ == "__main__":
    absltest.main()
