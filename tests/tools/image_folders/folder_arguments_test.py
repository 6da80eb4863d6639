"""SRC must be a folder, and DEST one or nothing yet."""

import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.errors import UserError
from tests.support import other_users
from tools.image_folders import folder_arguments


class FolderArgumentsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.source, self.target = self.folder / "source", self.folder / "target"
        self.source.mkdir()

    def assert_refused(self, part: str, *arguments: Path) -> None:
        with self.assertRaisesRegex(UserError, part):
            folder_arguments.parse([str(path) for path in arguments], "the heat maps")

    def test_two_folders_become_absolute_paths(self):
        typed = [f"{self.source}/../source", str(self.target)]
        self.assertEqual(folder_arguments.parse(typed, "x"), (self.source, self.target))

    def test_another_number_of_folders_is_refused(self):
        self.assert_refused("expected two folders, .* one for the heat maps; received: none")
        self.assert_refused(f"received: {self.source}$", self.source)

    def test_folders_must_be_folders(self):
        file = self.folder / "file"
        file.touch()
        missing = self.folder / "missing"
        self.assert_refused("does not exist; choose a folder with", missing, self.target)
        self.assert_refused("is a file; choose a folder, or use label_image", file, self.target)
        self.assert_refused("is a file; choose a folder for the heat maps", self.source, file)

    def test_a_target_that_another_user_put_into_a_folder_for_everyone_is_refused(self):
        self.folder.chmod(0o1777)
        other_users.make_folder(self, self.target)
        self.assert_refused(
            f"{self.target} cannot be used: .* belongs to the user with number",
            self.source,
            self.target,
        )
        self.assert_refused("cannot be used", self.source, self.target / "new")


if __name__ == "__main__":
    absltest.main()
