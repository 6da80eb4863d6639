"""Outputs that cannot be written are found before a run."""

import os
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.errors import UserError
from retrain.system.outputs import checks
from tests.support.python_code import run_python


class FolderTestCase(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.rglob("*"))


class CheckOutputFolderTest(FolderTestCase):
    def check(self, path):
        checks.check_output_folder(path, "out", {"Data", "Manifest.json"})

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
        checks.check_writable(self.folder / "a" / "b" / "model.pb", "output_graph")
        checks.check_folder_writable(self.folder / "c" / "d", "summaries_dir")
        self.assertEqual(self.names(), [])

    def test_an_existing_file_is_unchanged(self):
        path = self.folder / "model.pb"
        path.write_text("old")
        checks.check_writable(path, "output_graph")
        self.assertEqual((path.read_text(), self.names()), ("old", ["model.pb"]))

    def test_a_folder_is_refused(self):
        with self.assertRaisesRegex(UserError, f"--output_graph={self.folder} is a folder"):
            checks.check_writable(self.folder, "output_graph")

    def test_a_pipe_is_refused(self):
        os.mkfifo(self.folder / "pipe")
        with self.assertRaisesRegex(UserError, "--output_graph=.*/pipe is not a regular file"):
            checks.check_writable(self.folder / "pipe", "output_graph")

    def test_a_path_below_a_file_is_refused(self):
        (self.folder / "file").touch()
        with self.assertRaisesRegex(UserError, "--output_graph=.*file: it is not a folder"):
            checks.check_writable(self.folder / "file" / "model.pb", "output_graph")
        with self.assertRaisesRegex(UserError, "--summaries_dir=.*file: it is not a folder"):
            checks.check_folder_writable(self.folder / "file", "summaries_dir")


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
from retrain.system.outputs import atomic_files, checks
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
            "checks.check_writable(folder / 'new' / 'model.pb', 'output_graph')",
            f"--output_graph={self.folder}/new/model.pb cannot be written: {self.folder}: ",
        )
        self.assert_permission_denied(
            "atomic_files.write_file(folder / 'new' / 'model.pb', b'')",
            f"{self.folder}/new/model.pb cannot be written",
        )

    def test_a_folder_without_any_permission_is_refused(self):
        self.folder.chmod(0)
        self.assert_permission_denied(
            "checks.check_writable(folder / 'model.pb', 'output_graph')",
            f"--output_graph={self.folder}/model.pb cannot be written",
        )
        self.assert_permission_denied(
            "checks.check_folder_writable(folder / 'a' / 'b', 'summaries_dir')",
            f"--summaries_dir={self.folder}/a/b cannot be written",
        )
        self.assert_permission_denied(
            "atomic_files.write_file(folder / 'model.pb', b'')",
            f"{self.folder}/model.pb cannot be written",
        )

    def test_an_output_folder_that_cannot_be_listed_is_refused(self):
        self.folder.chmod(0o777)
        (self.folder / "out").mkdir()
        (self.folder / "out").chmod(0)
        self.assert_permission_denied(
            "checks.check_output_folder(folder / 'out', 'saved_model_dir', ())",
            f"--saved_model_dir={self.folder}/out cannot be read",
        )


if __name__ == "__main__":
    absltest.main()
