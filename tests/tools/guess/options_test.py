"""Options that the folders do not allow are refused."""

import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.errors import UserError
from tools.guess.options import Options, check
from tools.transfers.transfer import MOVE


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
