"""A replacement can be undone, and an interrupted one is completed or undone by the next run."""

import threading
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from retrain.system import replacements
from retrain.system.exchange import ExchangeUnsupportedError, exchange
from retrain.system.replacements import (
    FileReplacement,
    OneStepFolderReplacement,
    TwoStepFolderReplacement,
    restore_folder,
)


class ReplacementTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.path = self.folder / "model"
        self.workspace = self.folder / ".workspace"
        self.workspace.mkdir()
        self.new = self.workspace / "model"

    def hidden(self) -> list[str]:
        names = [path.name for path in self.folder.iterdir()]
        return [name for name in names if name not in ("model", ".workspace")]


class FileReplacementTest(ReplacementTestCase):
    def setUp(self):
        super().setUp()
        self.new.write_text("new")

    def replacement(self) -> FileReplacement:
        return FileReplacement(self.new, self.path, backup=self.workspace / "old")

    def test_a_new_file_is_placed_and_removed_again(self):
        with self.replacement() as replacement:
            replacement.place()
            self.assertEqual(self.path.read_text(), "new")
            replacement.undo()
        self.assertFalse(self.path.exists())

    @parameterized.parameters(None, OSError, NotImplementedError)
    def test_an_old_file_is_restored_also_without_hard_links(self, error):
        self.path.write_text("old")
        self.path.chmod(0o640)
        if error:
            self.enter_context(mock.patch("os.link", side_effect=error))
        with self.replacement() as replacement:
            self.assertEqual(self.path.read_text(), "old")
            replacement.place()
            self.assertEqual(self.path.read_text(), "new")
            replacement.undo()
        self.assertEqual(self.path.read_text(), "old")
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o640)

    def test_a_link_is_restored_as_a_link(self):
        self.path.symlink_to("nowhere")
        with self.replacement() as replacement:
            replacement.place()
            replacement.undo()
        self.assertEqual(self.path.readlink(), Path("nowhere"))


class FolderTestCase(ReplacementTestCase):
    def setUp(self):
        super().setUp()
        self.make(self.new, "new")

    def make(self, folder: Path, name: str) -> None:
        folder.mkdir()
        (folder / name).touch()

    def content(self) -> list[str]:
        return [path.name for path in self.path.iterdir()]


class FolderReplacementTest(FolderTestCase):
    def replacement(self, kind: type) -> OneStepFolderReplacement | TwoStepFolderReplacement:
        if kind is OneStepFolderReplacement:
            first, second = self.workspace / "1", self.workspace / "2"
            first.mkdir()
            second.mkdir()
            try:
                exchange(first, second)
            except ExchangeUnsupportedError:
                self.skipTest("this system or its file system cannot exchange names")
        return kind(self.new, self.path)

    @parameterized.parameters(OneStepFolderReplacement, TwoStepFolderReplacement)
    def test_a_new_folder_is_placed_and_removed_again(self, kind):
        with self.replacement(kind) as replacement:
            self.assertFalse(self.path.exists())
            replacement.place()
            self.assertEqual(self.content(), ["new"])
            replacement.undo()
        self.assertFalse(self.path.exists())
        self.assertEmpty(self.hidden())

    @parameterized.parameters(OneStepFolderReplacement, TwoStepFolderReplacement)
    def test_an_old_folder_is_replaced_and_restored(self, kind):
        self.make(self.path, "old")
        with self.replacement(kind) as replacement:
            self.assertEqual(self.content(), ["old"])
            replacement.place()
            self.assertEqual(self.content(), ["new"])
            replacement.undo()
            self.assertEqual(self.content(), ["old"])
            replacement.place()
        self.assertEqual(self.content(), ["new"])
        self.assertEmpty(self.hidden())

    @parameterized.parameters(OneStepFolderReplacement, TwoStepFolderReplacement)
    def test_the_old_folder_stays_if_the_new_one_is_missing(self, kind):
        self.make(self.path, "old")
        (self.new / "new").unlink()
        self.new.rmdir()
        with self.replacement(kind) as replacement, self.assertRaises(FileNotFoundError):
            replacement.place()
        self.assertEqual(self.content(), ["old"])
        self.assertEmpty(self.hidden())

    def test_a_folder_that_appears_or_disappears_in_the_meantime_is_replaced(self):
        replacement = self.replacement(OneStepFolderReplacement)

        def appear_and_fail(*_) -> None:
            if not self.path.exists():
                self.make(self.path, "other")
                raise FileNotFoundError
            exchange(self.new, self.path)

        with mock.patch.object(replacements, "exchange", appear_and_fail):
            replacement.place()
        self.assertEqual(self.content(), ["new"])


class InterruptedTwoStepsTest(FolderTestCase):
    """The process was killed between the two steps, or after them."""

    def setUp(self):
        super().setUp()
        self.previous = replacements._previous(self.path)
        self.make(self.previous, "previous")

    def test_a_folder_that_is_missing_is_restored(self):
        with self.assertLogs(level="WARNING") as logged:
            restore_folder(self.path)
        self.assertEqual(
            logged.output,
            [f"WARNING:root:Restored {self.path}, which an interrupted run was replacing."],
        )
        self.assertEqual(self.content(), ["previous"])
        self.assertEmpty(self.hidden())

    def test_a_folder_that_was_replaced_stays_and_the_previous_one_is_removed(self):
        self.make(self.path, "newest")
        restore_folder(self.path)
        self.assertEqual(self.content(), ["newest"])
        self.assertEmpty(self.hidden())

    def test_a_link_that_was_replaced_is_removed(self):
        (self.previous / "previous").unlink()
        self.previous.rmdir()
        self.previous.symlink_to(self.workspace)
        self.make(self.path, "newest")
        restore_folder(self.path)
        self.assertTrue(self.workspace.is_dir())
        self.assertEmpty(self.hidden())

    def test_the_next_replacement_does_it_too(self):
        with TwoStepFolderReplacement(self.new, self.path) as replacement:
            self.assertEqual(self.content(), ["previous"])
            replacement.place()
        self.assertEqual(self.content(), ["new"])
        self.assertEmpty(self.hidden())

    def test_several_runs_restore_it_once(self):
        threads = [threading.Thread(target=restore_folder, args=(self.path,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.content(), ["previous"])
        self.assertEmpty(self.hidden())

    def test_hidden_names_are_short_enough_and_differ(self):
        paths = [self.folder / ("模" * 84 + letter) for letter in "样本"]
        hidden = [replacements._previous(path) for path in paths]
        self.assertNotEqual(*hidden)
        for path in hidden:
            path.mkdir()


class ConcurrentTwoStepsTest(FolderTestCase):
    def test_runs_that_replace_the_same_folder_wait_for_each_other(self):
        self.make(self.path, "old")
        problems = []

        def replace(number: int) -> None:
            try:
                for turn in range(10):
                    new = self.workspace / f"{number}_{turn}"
                    self.make(new, new.name)
                    restore_folder(self.path)
                    with TwoStepFolderReplacement(new, self.path) as replacement:
                        replacement.place()
                        assert self.content() == [new.name]
                        if turn % 3 == 0:
                            replacement.undo()
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=replace, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(problems, [])
        self.assertLen(self.content(), 1)
        self.assertEmpty(self.hidden())


if __name__ == "__main__":
    absltest.main()
