"""Options that the folders do not allow are refused."""

import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.errors import UserError
from tests.support import other_users
from tools.guess.options import Options, check
from tools.guess.transfer import MOVE


class OptionsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.source, self.target = self.folder / "source", self.folder / "target"
        self.source.mkdir()

    def check(self, **options) -> None:
        check(Options(**{"source": self.source, "target": self.target, **options}))

    def assert_refused(self, part: str, **options) -> None:
        with self.assertRaisesRegex(UserError, part):
            self.check(**options)

    def test_folders_must_be_folders(self):
        file = self.folder / "file"
        file.touch()
        self.check()
        self.assert_refused("does not exist; choose a folder", source=self.folder / "missing")
        self.assert_refused("is a file; choose a folder, or use label_image", source=file)
        self.assert_refused("is a file; choose a folder for the images", target=file)

    def test_a_target_that_another_user_put_into_a_folder_for_everyone_is_refused(self):
        self.folder.chmod(0o1777)
        other_users.make_folder(self, self.target)
        self.assert_refused(f"{self.target} cannot be used: .* belongs to the user with number")
        self.assert_refused("cannot be used", target=self.target / "new")

    def test_sorting_in_place_must_not_add_copies_next_to_the_originals(self):
        self.assert_refused("add --move to rename .* add --by_folder", target=self.source)
        self.check(target=self.source, by_folder=True)
        self.check(target=self.source, operation=MOVE)
        self.assert_refused("--recursive would", target=self.source, by_folder=True, recursive=True)

    def test_the_results_file_must_have_a_known_format_and_be_writable(self):
        self.check(results=self.folder / "results.csv")
        self.assert_refused("has no known format", results=self.folder / "results.txt")
        self.assert_refused("is a folder", results=self._folder("results.json"))

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder


if __name__ == "__main__":
    absltest.main()
