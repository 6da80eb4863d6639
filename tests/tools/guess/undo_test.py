"""An undo restores images, and removes a file only if the original has the same content."""

import json
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from tools.guess import results_file, transfer_batch
from tools.guess.results_file import ACTIONS, Result
from tools.guess.transfer import Transfer
from tools.guess.undo import undo


class UndoTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.source, self.target = self.folder / "source", self.folder / "target"
        self.source.mkdir()

    def sort(self, operation: str, **names: str) -> Path:
        """Transfers images, which contain their names; returns the results file."""
        results = []
        for name, new_name in names.items():
            transfer = Transfer(self.source / name, self.target / new_name)
            if not transfer.source.exists():
                transfer.source.write_text(name)
            self.assertEmpty(transfer_batch.transfer_all([transfer], operation))
            image, target = map(str, transfer)
            results.append(Result(image, target, ACTIONS[operation], "a", 0.5))
        path = self.folder / "results.jsonl"
        results_file.write(path, results, format_=".jsonl", labels=())
        return path

    def images(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.source.iterdir()}

    @parameterized.parameters(*ACTIONS)
    def test_each_operation_can_be_undone_twice(self, operation: str):
        results = self.sort(operation, a="x/1", b="x/2", c="unsure/x/1")
        for _ in range(2):
            self.assertEqual(undo(results), (3, 0))
            self.assertEqual(self.images(), {"a": "a", "b": "b", "c": "c"})
            self.assertFalse(self.target.exists())

    def test_images_that_took_the_names_of_others_are_restored(self):
        self.target = self.source
        results = self.sort("move", a="x", b="a", c="b")
        self.assertEqual(self.images(), {"x": "a", "a": "b", "b": "c"})
        self.assertEqual(undo(results), (3, 0))
        self.assertEqual(self.images(), {"a": "a", "b": "b", "c": "c"})

    def test_folders_with_other_contents_are_kept(self):
        results = self.sort("copy", a="x/1", b="y/1")
        (self.target / "x" / "other").touch()
        undo(results)
        self.assertCountEqual(
            self.target.rglob("*"), [self.target / "x", self.target / "x" / "other"]
        )

    def test_an_image_that_is_recorded_twice_is_restored_once(self):
        results = self.sort("move", a="1")
        (self.target / "2").write_text("other")
        record = json.loads(results.read_text())
        other = {**record, "filed": str(self.target / "2")}
        results.write_text(f"{json.dumps(other)}\n{json.dumps(record)}\n")
        with self.assertLogs(level="WARNING") as logged:
            self.assertEqual(undo(results), (1, 1))
        self.assertIn("already exists", logged.output[0])
        self.assertEqual(self.images(), {"a": "a"})

    def test_failures_are_reported_for_paths_that_are_not_normalised(self):
        results = self.sort("move", a="1", b="2")
        (self.source / "a").write_text("other")
        path = str(self.source)
        results.write_text(results.read_text().replace(path, f"{path}/."))
        self.assertEqual(undo(results), (1, 1))
        self.assertEqual(self.images(), {"a": "other", "b": "b"})

    @parameterized.parameters("copy", "hard")
    def test_a_copy_is_kept_if_the_original_is_missing_or_different(self, operation: str):
        results = self.sort(operation, a="1", b="2", c="3")
        (self.source / "a").unlink()
        (self.source / "b").unlink()
        (self.source / "b").symlink_to(self.target / "2")
        (self.target / "3").unlink()
        (self.target / "3").write_text("edited")
        self.assertEqual(undo(results), (0, 3))
        contents = {path.name: path.read_text() for path in self.target.iterdir()}
        self.assertEqual(contents, {"1": "a", "2": "b", "3": "edited"})

    def test_a_moved_image_is_kept_if_its_old_path_is_occupied(self):
        results = self.sort("move", a="1", b="2", c="3")
        (self.source / "a").write_text("other")
        (self.source / "b").symlink_to(self.target / "2")
        (self.target / "3").unlink()
        self.assertEqual(undo(results), (0, 3))
        self.assertEqual((self.source / "a").read_text(), "other")
        self.assertEqual((self.target / "1").read_text(), "a")
        self.assertEqual((self.target / "2").read_text(), "b")
        # When the path is free again, another undo moves the image back.
        (self.source / "a").unlink()
        self.assertEqual(undo(results), (1, 2))
        self.assertEqual((self.source / "a").read_text(), "a")

    def test_a_missing_source_folder_is_created(self):
        results = self.sort("move", a="1")
        self.source.rmdir()
        undo(results)
        self.assertEqual(self.images(), {"a": "a"})

    def test_a_file_that_replaced_a_link_is_kept(self):
        results = self.sort("symbolic", a="1")
        (self.target / "1").unlink()
        (self.target / "1").write_text("other")
        self.assertEqual(undo(results), (0, 1))
        self.assertEqual((self.target / "1").read_text(), "other")

    def test_dry_runs_missing_files_and_folders_are_refused(self):
        path = self.folder / "plan.csv"
        planned = Result("/a", "/b", "planned", "a", 0.5)
        results_file.write(path, [planned], format_=".csv", labels=())
        with self.assertRaisesRegex(UserError, "records a --dry_run, which changed nothing"):
            undo(path)
        with self.assertRaisesRegex(
            UserError, "journal does not exist; choose the file of --results"
        ):
            undo(self.folder / ".guess_dir.journal")
        with self.assertRaisesRegex(UserError, "is a folder; choose the file of --results"):
            undo(self.folder)

    @parameterized.parameters("text", "text\n", "1\n", "", '{"a": 1}')
    def test_a_file_of_another_program_is_refused_and_kept(self, content: str):
        path = self.folder / "notes"
        path.write_text(content)
        with self.assertRaisesRegex(
            UserError,
            f"^--undo={path} is neither a results file, which ends with .json, .csv or .jsonl, "
            "nor the journal of an interrupted run; choose one of these$",
        ):
            undo(path)
        self.assertEqual(path.read_text(), content)

    @parameterized.parameters(*ACTIONS)
    def test_results_can_be_replaced_when_all_images_are_restored(self, operation: str):
        path = self.sort(operation, a="x/1", b="x/2")
        with self.assertRaisesRegex(UserError, f"restore the images .* with --undo={path}$"):
            results_file.check_replaceable(path, ())
        undo(path)
        results_file.check_replaceable(path, ())

    def test_results_cannot_be_replaced_while_an_image_is_not_restored(self):
        path = self.sort("move", a="1", b="2")
        (self.target / "1").rename(self.target / "moved elsewhere")
        self.assertEqual(undo(path), (1, 1))
        with self.assertRaisesRegex(UserError, "has the record of an earlier run"):
            results_file.check_replaceable(path, ())


if __name__ == "__main__":
    absltest.main()
