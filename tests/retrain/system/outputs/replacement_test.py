"""A replacement can be undone at any time, also repeatedly."""

from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from retrain.system.outputs import replacement
from retrain.system.outputs.exchange import ExchangeUnsupportedError, exchange
from retrain.system.outputs.replacement import Replacement


class ReplacementTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.path = self.folder / "model"
        self.new = self.folder / ".workspace" / "1" / "model"
        self.new.parent.mkdir(parents=True)

    def replacement(self, *, is_folder: bool) -> Replacement:
        inode = self.new.stat().st_ino
        return Replacement(
            self.folder, "model", ".workspace", slot="1", is_folder=is_folder, inode=inode
        )


class FileReplacementTest(ReplacementTestCase):
    def setUp(self):
        super().setUp()
        self.new.write_text("new")

    def test_a_new_file_is_placed_and_removed_again(self):
        replacement = self.replacement(is_folder=False)
        replacement.keep_old()
        replacement.place()
        self.assertEqual(self.path.read_text(), "new")
        for _ in range(2):
            replacement.undo()
            self.assertFalse(self.path.exists())

    @parameterized.parameters(None, OSError, NotImplementedError)
    def test_an_old_file_is_restored_also_without_hard_links(self, error):
        self.path.write_text("old")
        self.path.chmod(0o640)
        if error:
            self.enter_context(mock.patch("os.link", side_effect=error))
        replacement = self.replacement(is_folder=False)
        replacement.keep_old()
        self.assertEqual(self.path.read_text(), "old")
        replacement.place()
        self.assertEqual(self.path.read_text(), "new")
        for _ in range(2):
            replacement.undo()
            self.assertEqual(self.path.read_text(), "old")
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o640)

    @parameterized.parameters(True, False)
    def test_what_was_not_placed_is_not_undone(self, has_old):
        if has_old:
            self.path.write_text("old")
        replacement = self.replacement(is_folder=False)
        replacement.keep_old()
        for _ in range(2):
            replacement.undo()
            self.assertEqual(self.path.exists(), has_old)
            self.assertEqual(self.new.read_text(), "new")

    def test_a_file_of_another_program_is_not_undone(self):
        replacement = self.replacement(is_folder=False)
        replacement.place()
        self.path.rename(self.folder / "elsewhere")
        self.path.write_text("other")
        replacement.undo()
        self.assertEqual(self.path.read_text(), "other")

    def test_a_link_is_restored_as_a_link(self):
        self.path.symlink_to("nowhere")
        replacement = self.replacement(is_folder=False)
        replacement.keep_old()
        replacement.place()
        self.assertFalse(self.path.is_symlink())
        replacement.undo()
        self.assertEqual(self.path.readlink(), Path("nowhere"))


class FolderReplacementTest(ReplacementTestCase):
    def setUp(self):
        super().setUp()
        self.make(self.new, "new")

    def make(self, folder: Path, name: str) -> None:
        folder.mkdir()
        (folder / name).touch()

    def content(self) -> list[str]:
        return [path.name for path in self.path.iterdir()]

    def use_exchange(self, with_exchange: bool) -> None:
        if not with_exchange:
            self.enter_context(
                mock.patch.object(replacement, "exchange", side_effect=ExchangeUnsupportedError)
            )
            return
        first, second = self.folder / "1", self.folder / "2"
        first.mkdir()
        second.mkdir()
        try:
            exchange(first, second)
        except ExchangeUnsupportedError:
            self.skipTest("this system or its file system cannot exchange names")

    @parameterized.parameters(True, False)
    def test_a_new_folder_is_placed_and_removed_again(self, with_exchange):
        self.use_exchange(with_exchange)
        replacement = self.replacement(is_folder=True)
        replacement.place()
        self.assertEqual(self.content(), ["new"])
        for _ in range(2):
            replacement.undo()
            self.assertFalse(self.path.exists())

    @parameterized.parameters(True, False)
    def test_an_old_folder_is_replaced_and_restored(self, with_exchange):
        self.use_exchange(with_exchange)
        self.make(self.path, "old")
        replacement = self.replacement(is_folder=True)
        for _ in range(2):
            replacement.place()
            self.assertEqual(self.content(), ["new"])
            for _ in range(2):
                replacement.undo()
                self.assertEqual(self.content(), ["old"])

    @parameterized.parameters(True, False)
    def test_the_old_folder_is_restored_if_the_new_one_is_missing(self, with_exchange):
        self.use_exchange(with_exchange)
        self.make(self.path, "old")
        replacement = self.replacement(is_folder=True)
        (self.new / "new").unlink()
        self.new.rmdir()
        with self.assertRaises(FileNotFoundError):
            replacement.place()
        replacement.undo()
        self.assertEqual(self.content(), ["old"])

    @parameterized.parameters(True, False)
    def test_a_link_to_a_folder_is_restored_as_a_link(self, with_exchange):
        self.use_exchange(with_exchange)
        (self.folder / "elsewhere").mkdir()
        self.path.symlink_to("elsewhere")
        replacement = self.replacement(is_folder=True)
        replacement.place()
        self.assertFalse(self.path.is_symlink())
        replacement.undo()
        self.assertEqual(self.path.readlink(), Path("elsewhere"))


if __name__ == "__main__":
    absltest.main()
