"""Undoing puts all back that it can, and removes nothing that is not elsewhere."""

import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from tools.guess import filing, results_file, undoing
from tools.guess.placing import Placing
from tools.guess.results_file import ACTIONS, Result


class UndoingTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.source, self.target = self.folder / "source", self.folder / "target"
        self.source.mkdir()

    def file(self, how: str, **names: str) -> Path:
        """Files images, which have their names as their bytes; returns the file of results."""
        results = []
        for name, new_name in names.items():
            placing = Placing(self.source / name, self.target / new_name)
            if not placing.source.exists():
                placing.source.write_text(name)
            self.assertEmpty(filing.place_all([placing], how))
            image, filed = map(str, placing)
            results.append(Result(image, filed, ACTIONS[how], "a", 0.5))
        path = self.folder / "results.jsonl"
        results_file.write(path, ".jsonl", results, ())
        return path

    def images(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.source.iterdir()}

    @parameterized.parameters(*ACTIONS)
    def test_all_ways(self, how: str):
        results = self.file(how, a="x/1", b="x/2", c="unsure/x/1")
        for _ in range(2):
            self.assertEqual(undoing.undo(results), (3, 0))
            self.assertEqual(self.images(), {"a": "a", "b": "b", "c": "c"})
            self.assertFalse(self.target.exists())

    def test_images_that_took_the_places_of_others(self):
        self.target = self.source
        results = self.file("move", a="x", b="a", c="b")
        self.assertEqual(self.images(), {"x": "a", "a": "b", "b": "c"})
        self.assertEqual(undoing.undo(results), (3, 0))
        self.assertEqual(self.images(), {"a": "a", "b": "b", "c": "c"})

    def test_folders_that_have_more_in_them_stay(self):
        results = self.file("copy", a="x/1", b="y/1")
        (self.target / "x" / "other").touch()
        undoing.undo(results)
        self.assertCountEqual(
            self.target.rglob("*"), [self.target / "x", self.target / "x" / "other"]
        )

    @parameterized.parameters("copy", "hard")
    def test_a_copy_stays_where_it_is_the_last_one(self, how: str):
        results = self.file(how, a="1", b="2", c="3")
        (self.source / "a").unlink()
        (self.source / "b").unlink()
        (self.source / "b").symlink_to(self.target / "2")
        (self.target / "3").unlink()
        (self.target / "3").write_text("edited")
        self.assertEqual(undoing.undo(results), (0, 3))
        contents = {path.name: path.read_text() for path in self.target.iterdir()}
        self.assertEqual(contents, {"1": "a", "2": "b", "3": "edited"})

    def test_a_moved_one_stays_where_its_place_is_taken(self):
        results = self.file("move", a="1", b="2", c="3")
        (self.source / "a").write_text("other")
        (self.source / "b").symlink_to(self.target / "2")
        (self.target / "3").unlink()
        self.assertEqual(undoing.undo(results), (0, 3))
        self.assertEqual((self.source / "a").read_text(), "other")
        self.assertEqual((self.target / "1").read_text(), "a")
        self.assertEqual((self.target / "2").read_text(), "b")
        # When there is room again, it is made good.
        (self.source / "a").unlink()
        self.assertEqual(undoing.undo(results), (1, 2))
        self.assertEqual((self.source / "a").read_text(), "a")

    def test_the_old_folder_is_made_again(self):
        results = self.file("move", a="1")
        self.source.rmdir()
        undoing.undo(results)
        self.assertEqual(self.images(), {"a": "a"})

    def test_no_link_of_another_kind_is_removed(self):
        results = self.file("symbolic", a="1")
        (self.target / "1").unlink()
        (self.target / "1").write_text("other")
        self.assertEqual(undoing.undo(results), (0, 1))
        self.assertEqual((self.target / "1").read_text(), "other")

    def test_mistakes(self):
        path = self.folder / "plan.csv"
        results_file.write(path, ".csv", [Result("/a", "/b", "planned", "a", 0.5)], ())
        with self.assertRaisesRegex(UserError, "is of a --dry_run, which changed nothing"):
            undoing.undo(path)
        with self.assertRaisesRegex(UserError, "journal is not there; name the file of --results"):
            undoing.undo(self.folder / ".guess_dir.journal")
        with self.assertRaisesRegex(UserError, "is a folder; name the file of --results"):
            undoing.undo(self.folder)

    @parameterized.parameters("text", "text\n", "1\n", "", '{"a": 1}')
    def test_a_file_that_is_none_of_guess_dir_is_left_alone(self, content: str):
        path = self.folder / "notes"
        path.write_text(content)
        with self.assertRaisesRegex(
            UserError,
            f"^--undo={path} is not a file that --results wrote, whose name ends with .json, .csv "
            "or .jsonl, nor the journal of an interrupted run; name one that is$",
        ):
            undoing.undo(path)
        self.assertEqual(path.read_text(), content)

    @parameterized.parameters(*ACTIONS)
    def test_results_may_be_written_over_when_all_is_back(self, how: str):
        path = self.file(how, a="x/1", b="x/2")
        with self.assertRaisesRegex(UserError, f"put the images .* back with --undo={path}$"):
            results_file.check_replaceable(path, ())
        undoing.undo(path)
        results_file.check_replaceable(path, ())

    def test_results_may_not_be_written_over_when_one_is_not_back(self):
        path = self.file("move", a="1", b="2")
        (self.target / "1").rename(self.target / "taken further")
        self.assertEqual(undoing.undo(path), (1, 1))
        with self.assertRaisesRegex(UserError, "has the record of an earlier run"):
            results_file.check_replaceable(path, ())


if __name__ == "__main__":
    absltest.main()
