"""Temporary files of programs and libraries are removed, also those of killed runs."""

import signal
import tempfile
from pathlib import Path
from unittest import mock

from absl.testing import absltest

from retrain.system.files.path_owners import current_user
from retrain.system.outputs.journal_files import journal_file
from retrain.system.outputs.temporary_folders import temporary_files_of_libraries, temporary_folder
from tests.support.python_code import run_python

_WITH_TEMPORARY_FILES = """
import atexit, os, pathlib, shutil, signal, sys, tempfile
from retrain.system.outputs.temporary_folders import temporary_files_of_libraries
tempfile.tempdir = sys.argv[1]
with temporary_files_of_libraries():
    folder = tempfile.mkdtemp()
    # matplotlib does so.
    atexit.register(shutil.rmtree, folder)
    pathlib.Path(folder, "model").write_bytes(bytes(1000))
    tempfile.mkstemp()
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
assert tempfile.tempdir == sys.argv[1]
"""

_KILLED = """
import os, signal, sys, tempfile
from retrain.system.outputs.temporary_folders import temporary_folder
tempfile.tempdir = sys.argv[1]
with temporary_folder() as folder:
    (folder / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


class TemporaryFoldersTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.enter_context(mock.patch.object(tempfile, "tempdir", str(self.folder)))

    def test_a_temporary_folder_is_empty_and_removed(self):
        with temporary_folder() as folder:
            self.assertTrue(folder.is_relative_to(self.folder))
            self.assertEmpty(list(folder.iterdir()))
            (folder / "file").touch()
        self.assertEmpty(list(self.folder.iterdir()))

    def test_the_folder_of_a_killed_run_is_removed_by_the_next(self):
        killed = run_python(_KILLED, self.folder)
        self.assertEqual(killed.returncode, -signal.SIGKILL)
        self.assertNotEmpty(list(self.folder.rglob("half")))
        with temporary_folder():
            self.assertLen(list(self.folder.iterdir()), 1)
        self.assertEmpty(list(self.folder.iterdir()))

    def test_others_cannot_prevent_temporary_folders(self):
        journal_file(self.folder, current_user()).symlink_to("nowhere")
        with temporary_folder() as folder:
            (folder / "file").touch()

    def test_files_of_libraries_are_removed_after_the_libraries_remove_their_own(self):
        done = run_python(_WITH_TEMPORARY_FILES, self.folder, "exit")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEmpty(list(self.folder.iterdir()))

    def test_files_of_killed_runs_are_removed_by_the_next_run(self):
        killed = run_python(_WITH_TEMPORARY_FILES, self.folder, "kill")
        self.assertEqual(killed.returncode, -signal.SIGKILL)
        self.assertNotEmpty(list(self.folder.rglob("model")))
        run_python(_WITH_TEMPORARY_FILES, self.folder, "exit")
        self.assertEmpty(list(self.folder.iterdir()))

    def test_a_program_runs_without_a_place_for_temporary_files(self):
        with mock.patch.object(tempfile, "tempdir", str(self.folder / "none")):
            with temporary_files_of_libraries():
                self.assertEqual(tempfile.gettempdir(), str(self.folder / "none"))
            self.assertEqual(tempfile.gettempdir(), str(self.folder / "none"))


if __name__ == "__main__":
    absltest.main()
