"""Paths are relative to the user's folder, and problems with outputs are found before a run."""

import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.system import files
from tests.support.python_code import run_python


class FolderTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.rglob("*"))


class UserPathTest(FolderTestCase):
    def set_variable(self, name: str, value: str | None) -> None:
        self.enter_context(mock.patch.dict(os.environ, {name: value or ""}))

    def test_paths_under_bazel_are_relative_to_the_folder_of_the_command(self):
        self.set_variable("BUILD_WORKING_DIRECTORY", "/somebody/here")
        self.assertEqual(files.user_path("photos"), Path("/somebody/here/photos"))
        self.assertEqual(files.user_path("./a/../../b/"), Path("/somebody/b"))
        self.assertEqual(files.user_path(""), Path("/somebody/here"))

    def test_paths_without_bazel_are_relative_to_the_current_folder(self):
        self.set_variable("BUILD_WORKING_DIRECTORY", None)
        self.assertEqual(files.user_path("photos"), Path.cwd() / "photos")

    def test_absolute_paths_are_unchanged(self):
        self.set_variable("BUILD_WORKING_DIRECTORY", "/somebody/here")
        self.assertEqual(files.user_path("/tmp/x.pb"), Path("/tmp/x.pb"))
        self.assertEqual(files.user_path(Path("/tmp/x.pb")), Path("/tmp/x.pb"))

    def test_the_home_folder_is_expanded(self):
        self.set_variable("BUILD_WORKING_DIRECTORY", "/somebody/here")
        self.set_variable("HOME", "/somebody")
        self.assertEqual(files.user_path("~/photos"), Path("/somebody/photos"))

    def test_the_home_folder_of_an_unknown_user_is_a_file_name(self):
        self.set_variable("BUILD_WORKING_DIRECTORY", "/somebody/here")
        self.assertEqual(files.user_path("~no_such_user"), Path("/somebody/here/~no_such_user"))

    def test_symbolic_links_are_not_resolved(self):
        (self.folder / "link").symlink_to("elsewhere")
        self.set_variable("BUILD_WORKING_DIRECTORY", str(self.folder))
        self.assertEqual(files.user_path("link"), self.folder / "link")


class AtomicFileTest(FolderTestCase):
    def test_text_is_written_as_utf8_to_a_new_folder(self):
        path = self.folder / "a" / "b" / "model.pb"
        files.write_file(path, "é\n")
        self.assertEqual(path.read_bytes(), b"\xc3\xa9\n")
        self.assertEqual(self.names(), ["a", "b", "model.pb"])

    def test_the_old_file_is_replaced_only_at_the_end(self):
        path = self.folder / "model.pb"
        path.write_text("old")
        with files.atomic_file(path) as temporary:
            temporary.write_text("new")
            self.assertEqual(path.read_text(), "old")
        self.assertEqual(path.read_text(), "new")
        self.assertEqual(self.names(), ["model.pb"])

    @parameterized.parameters(ValueError, KeyboardInterrupt)
    def test_the_old_file_stays_if_the_block_fails(self, failure):
        path = self.folder / "model.pb"
        path.write_text("old")
        with self.assertRaises(failure), files.atomic_file(path) as temporary:
            temporary.write_text("half")
            raise failure
        self.assertEqual(path.read_text(), "old")
        self.assertEqual(self.names(), ["model.pb"])

    def test_errors_that_the_user_cannot_correct_are_not_user_errors(self):
        with self.assertRaises(FileNotFoundError), files.atomic_file(self.folder / "model.pb"):
            (self.folder / "missing").read_bytes()


class AtomicFolderTest(FolderTestCase):
    def test_a_new_folder_is_made_with_its_parents(self):
        path = self.folder / "a" / "b"
        with files.atomic_folder(path) as temporary:
            (temporary / "file").write_text("new")
        self.assertEqual([p.name for p in path.parent.iterdir()], ["b"])
        self.assertEqual((path / "file").read_text(), "new")

    def test_the_old_folder_is_replaced_only_at_the_end(self):
        path = self.folder / "b"
        (path / "deep").mkdir(parents=True)
        (path / "deep" / "old").write_text("old")
        with files.atomic_folder(path) as temporary:
            (temporary / "new").write_text("new")
            self.assertTrue((path / "deep" / "old").exists())
        self.assertEqual([p.name for p in path.iterdir()], ["new"])
        self.assertEqual([p.name for p in self.folder.iterdir()], ["b"])

    def test_the_old_folder_stays_if_the_block_fails(self):
        path = self.folder / "b"
        path.mkdir()
        (path / "old").write_text("old")
        with self.assertRaises(ZeroDivisionError), files.atomic_folder(path) as temporary:
            (temporary / "new").write_text("new")
            raise ZeroDivisionError
        self.assertEqual([p.name for p in path.iterdir()], ["old"])
        self.assertEqual([p.name for p in self.folder.iterdir()], ["b"])


class CheckOutputFolderTest(FolderTestCase):
    def check(self, path):
        files.check_output_folder(path, "out", {"Data", "Manifest.json"})

    def test_nothing_is_left_behind(self):
        self.check(self.folder / "a" / "b")
        self.assertEmpty(list(self.folder.iterdir()))

    def test_a_folder_of_the_same_kind_can_be_replaced(self):
        (self.folder / "Manifest.json").write_text("{}")
        self.check(self.folder)

    def test_a_folder_with_other_files_is_refused(self):
        (self.folder / "Manifest.json").write_text("{}")
        (self.folder / "thesis.txt").write_text("years of work")
        with self.assertRaisesRegex(UserError, "--out=.*thesis.txt.*would be deleted"):
            self.check(self.folder)

    def test_a_file_is_refused(self):
        (self.folder / "file").write_text("")
        with self.assertRaisesRegex(UserError, "--out=.*/file must be a folder, but is a file"):
            self.check(self.folder / "file")

    def test_a_link_is_refused(self):
        (self.folder / "folder").mkdir()
        (self.folder / "link").symlink_to("folder")
        with self.assertRaisesRegex(UserError, "--out=.*/link must be .*, but is a symbolic link"):
            self.check(self.folder / "link")

    def test_a_path_below_a_file_is_refused(self):
        (self.folder / "file").write_text("")
        with self.assertRaisesRegex(UserError, "--out=.*cannot be written"):
            self.check(self.folder / "file" / "b")


class CheckWritableTest(FolderTestCase):
    def test_nothing_is_left_behind(self):
        files.check_writable(self.folder / "a" / "b" / "model.pb", "output_graph")
        files.check_folder_writable(self.folder / "c" / "d", "summaries_dir")
        self.assertEqual(self.names(), [])

    def test_an_existing_file_is_unchanged(self):
        path = self.folder / "model.pb"
        path.write_text("old")
        files.check_writable(path, "output_graph")
        self.assertEqual((path.read_text(), self.names()), ("old", ["model.pb"]))

    def test_a_folder_is_refused(self):
        with self.assertRaisesRegex(UserError, f"--output_graph={self.folder} is a folder"):
            files.check_writable(self.folder, "output_graph")

    def test_a_pipe_is_refused(self):
        os.mkfifo(self.folder / "pipe")
        with self.assertRaisesRegex(UserError, "--output_graph=.*/pipe is not a regular file"):
            files.check_writable(self.folder / "pipe", "output_graph")

    def test_a_path_below_a_file_is_refused(self):
        (self.folder / "file").touch()
        with self.assertRaisesRegex(UserError, "--output_graph=.*file: it is not a folder"):
            files.check_writable(self.folder / "file" / "model.pb", "output_graph")
        with self.assertRaisesRegex(UserError, "--summaries_dir=.*file: it is not a folder"):
            files.check_folder_writable(self.folder / "file", "summaries_dir")


class PermissionTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        # Not in the test's own folder, which can be in one that other users cannot read.
        self.folder = Path(tempfile.mkdtemp(dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(self.folder.chmod, 0o755)

    def assert_permission_denied(self, call: str, message: str) -> None:
        """Checks the error of a call in a process without the rights of root."""
        done = run_python(
            f"""
import pathlib, sys
from retrain.errors import UserError
from retrain.system import files
from tests.support import privileges
folder = pathlib.Path(sys.argv[1])
privileges.drop()
try:
    {call}
except UserError as error:
    print(error)
""",
            self.folder,
        )
        self.assertIn(message, done.stdout, done.stderr)
        self.assertIn("Permission denied", done.stdout)

    def test_a_folder_without_write_permission_is_refused(self):
        self.folder.chmod(0o555)
        self.assert_permission_denied(
            "files.check_writable(folder / 'new' / 'model.pb', 'output_graph')",
            f"--output_graph={self.folder}/new/model.pb cannot be written: {self.folder}: ",
        )
        self.assert_permission_denied(
            "files.write_file(folder / 'new' / 'model.pb', b'')",
            f"{self.folder}/new/model.pb cannot be written",
        )

    def test_a_folder_without_any_permission_is_refused(self):
        self.folder.chmod(0)
        self.assert_permission_denied(
            "files.check_writable(folder / 'model.pb', 'output_graph')",
            f"--output_graph={self.folder}/model.pb cannot be written",
        )
        self.assert_permission_denied(
            "files.check_folder_writable(folder / 'a' / 'b', 'summaries_dir')",
            f"--summaries_dir={self.folder}/a/b cannot be written",
        )
        self.assert_permission_denied(
            "files.write_file(folder / 'model.pb', b'')",
            f"{self.folder}/model.pb cannot be written",
        )

    def test_an_output_folder_that_cannot_be_listed_is_refused(self):
        self.folder.chmod(0o777)
        (self.folder / "out").mkdir()
        (self.folder / "out").chmod(0)
        self.assert_permission_denied(
            "files.check_output_folder(folder / 'out', 'saved_model_dir', ())",
            f"--saved_model_dir={self.folder}/out cannot be read",
        )


if __name__ == "__main__":
    absltest.main()
