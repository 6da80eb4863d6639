"""The output folder belongs to a single run at a time, and never to anything else."""

import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.errors import UserError
from retrain.system.outputs.journal_files import journal_file
from retrain.system.outputs.staging import Staging
from tools.keras_training import run_folder


class RunFolderTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.parent = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.parent)
        self.folder = self.parent / "output"

    def assert_refused(self, text: str, *, resume: bool) -> None:
        with self.assertRaisesRegex(UserError, text):
            run_folder.check_available(self.folder, resume=resume)

    def test_missing_and_empty_folders_are_available(self):
        for resume in (False, True):
            run_folder.check_available(self.folder, resume=resume)
        self.folder.mkdir()
        for resume in (False, True):
            run_folder.check_available(self.folder, resume=resume)

    def test_folder_of_a_run_that_was_killed_before_it_wrote_anything_is_available(self):
        self.folder.mkdir()
        with self.assertRaises(ZeroDivisionError), Staging() as staging:
            staging.file(self.folder / "run.json").touch()
            journal_file(self.folder, 7).touch()
            for resume in (False, True):
                run_folder.check_available(self.folder, resume=resume)
            raise ZeroDivisionError

    def test_folder_with_a_run_is_available_only_with_resume(self):
        self.folder.mkdir()
        (self.folder / "run.json").touch()
        run_folder.check_available(self.folder, resume=True)
        self.assert_refused("contains run.json; .*--resume", resume=False)

    def test_folder_with_other_files_is_refused(self):
        self.folder.mkdir()
        (self.folder / "thesis.txt").touch()
        self.assert_refused("contains thesis.txt", resume=False)
        self.assert_refused("contains thesis.txt, but no run.json", resume=True)

    def test_file_is_refused(self):
        self.folder.touch()
        self.assert_refused("is a file", resume=False)
        with (
            self.assertRaisesRegex(UserError, "cannot be used"),
            run_folder.exclusive_folder(self.folder / "below"),
        ):
            self.fail("a file is used as a folder")

    def test_folder_is_exclusive_until_the_block_ends(self):
        with (
            run_folder.exclusive_folder(self.folder),
            self.assertRaisesRegex(UserError, f"another train_keras.*{self.folder}"),
            run_folder.exclusive_folder(self.folder),
        ):
            self.fail("two runs use the folder at the same time")
        with run_folder.exclusive_folder(self.folder):
            self.assertTrue(self.folder.is_dir())


if __name__ == "__main__":
    absltest.main()
