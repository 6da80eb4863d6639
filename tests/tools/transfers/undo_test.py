"""An undo restores images, and touches only what the run put into its own two folders."""

import json
import os
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from tools.transfers import (
    digests,
    folder_tree,
    results_file,
    results_writer,
    run_records,
    transfer_batch,
)
from tools.transfers.journal import NAME, Journal
from tools.transfers.plan import Plan
from tools.transfers.results_writer import SortedRun
from tools.transfers.run_records import RunRecord
from tools.transfers.transfer import ACTIONS, Transfer
from tools.transfers.undo import undo

# Names in a journal or results file that do not lead to an image in the folder.
_BAD_NAMES: tuple[object, ...] = (
    *("../id.jpg", "x/../../id.jpg", "/etc/id.jpg", "", ".", "x//id.jpg", "./id.jpg", "id.jpg/"),
    *(".ssh/id.jpg", "x/.id.jpg", "id_rsa", "x/.guess_dir.journal", "a\0.jpg", "\ud800.jpg"),
    *("x" * 5000 + ".jpg", None, 1, ["id.jpg"], {}),
)


class _UndoTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(os.path.realpath(tempfile.mkdtemp()))
        self.addCleanup(shutil.rmtree, self.folder)
        state = {"XDG_STATE_HOME": str(self.folder / "state")}
        self.enter_context(absltest.mock.patch.dict(os.environ, state))
        self.source, self.target = self.folder / "source", self.folder / "target"
        self.source.mkdir()
        self.precious = self.folder / "precious.jpg"
        self.precious.write_text("precious")

    def sort(self, operation: str, *, record: bool = True, **names: str) -> Path:
        """Transfers images, which contain their names; returns the results file."""
        plans = []
        created = {str(Path(name).parent) for name in names.values()} - {"."}
        created |= {"unsure"} if "unsure/x" in created else set()
        created |= set() if self.target.exists() else {"."}
        for stem, new_stem in names.items():
            transfer = Transfer(self.source / f"{stem}.jpg", self.target / f"{new_stem}.jpg")
            if not transfer.source.exists():
                transfer.source.write_text(stem)
            digest = digests.of_image(transfer.source, moves=operation == "move")
            self.assertEmpty(transfer_batch.transfer_all([transfer], operation))
            digest = digest if record else None
            plans.append(Plan(f"{stem}.jpg", f"{new_stem}.jpg", "a", 0.5, digest=digest))
        path = self.folder / "results.jsonl"
        run = SortedRun(self.source, self.target, ACTIONS[operation], ())
        results_writer.write(path, plans, run, format_=".jsonl")
        if record:
            self.keep_record(path, sorted(created))
        return path

    def keep_record(self, path: Path, created=()) -> None:
        record = RunRecord.of_folders(self.source, self.target, created)
        run_records.write(results_file.digest(path), record)

    def images(self) -> dict[str, str]:
        return {path.stem: path.read_text() for path in self.source.iterdir()}

    def contents(self) -> dict[str, str]:
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.folder)): path.read_text()
            for path in files
            if "state" not in path.parts
        }


class UndoTest(_UndoTestCase):
    @parameterized.product(operation=tuple(ACTIONS), record=(True, False))
    def test_each_operation_can_be_undone_twice(self, operation: str, record: bool):
        results = self.sort(operation, record=record, a="x/1", b="x/2", c="unsure/x/1")
        folders = None if record else (self.source, self.target)
        for restored in (3, 0):
            self.assertEqual(undo(results, folders), (restored, 0))
            self.assertEqual(self.images(), {"a": "a", "b": "b", "c": "c"})
            self.assertEmpty([path for path in self.target.rglob("*") if not path.is_dir()])
            # Results of earlier versions do not say which folders the run created.
            self.assertEqual(self.target.exists(), not record)

    def test_images_that_took_the_names_of_others_are_restored(self):
        self.target = self.source
        results = self.sort("move", a="x", b="a", c="b")
        self.assertEqual(self.images(), {"x": "a", "a": "b", "b": "c"})
        self.assertEqual(undo(results), (3, 0))
        self.assertEqual(self.images(), {"a": "a", "b": "b", "c": "c"})

    def test_folders_that_the_run_did_not_create_or_with_other_contents_are_kept(self):
        (self.target / "z").mkdir(parents=True)
        results = self.sort("copy", a="x/1", b="y/1")
        (self.target / "x" / "other").touch()
        undo(results)
        kept = [self.target / name for name in ("x", "x/other", "z")]
        self.assertCountEqual(self.target.rglob("*"), kept)

    def test_an_image_that_is_recorded_twice_is_restored_once(self):
        results = self.sort("move", a="1")
        shutil.copyfile(self.target / "1.jpg", self.target / "2.jpg")
        (self.target / "3.jpg").write_text("other")
        record = json.loads(results.read_text())
        others = [{**record, "filed": str(self.target / name)} for name in ("2.jpg", "3.jpg")]
        results.write_text("".join(f"{json.dumps(each)}\n" for each in (*others, record)))
        self.keep_record(results)
        with self.assertLogs(level="WARNING") as logged:
            self.assertEqual(undo(results), (2, 1))
        self.assertIn("3.jpg is kept, because it changed after it was sorted", logged.output[0])
        self.assertEqual(self.images(), {"a": "a"})

    @parameterized.product(operation=("copy", "hard"), record=(True, False))
    def test_a_copy_is_kept_if_the_original_is_missing_or_different(self, operation, record):
        results = self.sort(operation, record=record, a="1", b="2", c="3")
        (self.source / "a.jpg").unlink()
        (self.source / "b.jpg").unlink()
        (self.source / "b.jpg").symlink_to(self.target / "2.jpg")
        (self.target / "3.jpg").unlink()
        (self.target / "3.jpg").write_text("edited")
        self.assertEqual(undo(results, (self.source, self.target)), (0, 3))
        contents = {path.stem: path.read_text() for path in self.target.iterdir()}
        self.assertEqual(contents, {"1": "a", "2": "b", "3": "edited"})

    def test_a_moved_image_is_kept_if_its_old_path_is_occupied(self):
        results = self.sort("move", a="1", b="2", c="3")
        (self.source / "a.jpg").write_text("other")
        (self.source / "b.jpg").symlink_to(self.target / "2.jpg")
        (self.target / "3.jpg").unlink()
        self.assertEqual(undo(results), (0, 3))
        self.assertEqual((self.source / "a.jpg").read_text(), "other")
        self.assertEqual((self.target / "1.jpg").read_text(), "a")
        self.assertEqual((self.target / "2.jpg").read_text(), "b")
        # When the path is free again, another undo moves the image back.
        (self.source / "a.jpg").unlink()
        self.assertEqual(undo(results), (1, 2))
        self.assertEqual((self.source / "a.jpg").read_text(), "a")

    def test_a_moved_link_is_moved_back(self):
        (self.source / "a.jpg").symlink_to(self.precious)
        results = self.sort("move", a="1")
        self.assertEqual(undo(results), (1, 0))
        self.assertEqual((self.source / "a.jpg").readlink(), self.precious)
        self.assertFalse(self.target.exists())

    def test_a_missing_source_folder_is_created(self):
        results = self.sort("move", a="1")
        self.source.rmdir()
        undo(results)
        self.assertEqual(self.images(), {"a": "a"})

    def test_images_move_back_to_another_file_system(self):
        other = Path("/dev/shm")
        if not os.access(other, os.W_OK) or other.stat().st_dev == self.folder.stat().st_dev:
            self.skipTest(f"{other} is not another file system")
        self.source = Path(tempfile.mkdtemp(dir=other))
        self.addCleanup(shutil.rmtree, self.source)
        results = self.sort("move", a="x/1", b="2")
        (self.source / f".guess_dir-{'0' * 16}.part").symlink_to(self.precious)
        os.utime(self.target / "2.jpg", (1, 2))
        self.assertEqual(undo(results), (2, 0))
        self.assertEqual((self.source / "a.jpg").read_text(), "a")
        self.assertEqual((self.source / "b.jpg").stat().st_mtime, 2)
        self.assertFalse(self.target.exists())

    def test_a_file_or_link_that_replaced_a_link_is_kept(self):
        results = self.sort("symbolic", a="1", b="2")
        (self.target / "1.jpg").unlink()
        (self.target / "1.jpg").write_text("other")
        (self.target / "2.jpg").unlink()
        (self.target / "2.jpg").symlink_to(self.precious)
        self.assertEqual(undo(results), (0, 2))
        self.assertEqual((self.target / "1.jpg").read_text(), "other")
        self.assertEqual((self.target / "2.jpg").readlink(), self.precious)

    def test_a_file_with_images_of_several_runs_is_refused(self):
        results = self.sort("copy", a="1")
        lines = results.read_text() + results.read_text().replace('"copied"', '"moved"')
        results.write_text(lines)
        self.keep_record(results)
        with self.assertRaisesRegex(UserError, "its images were copied and moved, but a run does"):
            undo(results)
        self.assertTrue((self.target / "1.jpg").exists())

    def test_dry_runs_missing_files_and_folders_are_refused(self):
        path = self.folder / "plan.csv"
        run = SortedRun(self.source, self.target, "planned", ())
        results_writer.write(path, [Plan("a", "b", "a", 0.5)], run, format_=".csv")
        self.keep_record(path)
        with self.assertRaisesRegex(UserError, "records a --dry_run, which changed nothing"):
            undo(path)
        with self.assertRaisesRegex(
            UserError, "journal does not exist; choose the file of --results"
        ):
            undo(self.folder / ".guess_dir.journal")
        with self.assertRaisesRegex(UserError, "is a folder; choose the file of --results"):
            undo(self.folder)
        os.mkfifo(self.folder / "pipe.json")
        with self.assertRaisesRegex(UserError, "cannot be read: it is a pipe, not a file"):
            undo(self.folder / "pipe.json")

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
        (self.target / "1.jpg").rename(self.target / "moved elsewhere")
        self.assertEqual(undo(path), (1, 1))
        with self.assertRaisesRegex(UserError, "has the record of an earlier run"):
            results_file.check_replaceable(path, ())


class ForeignResultsTest(_UndoTestCase):
    """Results files that this user's program did not write."""

    def write(self, image: object, target: object, operation: str = "move") -> Path:
        fields = {"picture": image, "filed": target, "action": ACTIONS[operation]}
        path = self.folder / "foreign.jsonl"
        path.write_text(json.dumps(fields) + "\n")
        return path

    def assert_refused(self, path: Path, message: str, *folders: Path) -> None:
        before = self.contents()
        with self.assertRaisesRegex(UserError, message) as raised:
            undo(path, (folders[0], folders[1]) if folders else None)
        self.assertNotIn("\n", str(raised.exception))
        self.assertEqual(self.contents(), before)

    def test_results_without_a_record_need_the_folders(self):
        results = self.sort("move", record=False, a="1")
        self.assert_refused(
            results, f"was not written by .* for you.* as in --undo={results} SRC DEST, and only"
        )
        recorded = self.sort("move", b="2")
        recorded.write_text(recorded.read_text().replace('"moved"', '"copied"'))
        self.assert_refused(recorded, "was not written by .* for you, or has changed")

    def test_folders_must_be_those_of_the_record(self):
        results = self.sort("move", a="1")
        self.assert_refused(results, "omit the folders", self.folder, self.target)
        self.assertEqual(undo(results, (self.source, self.target)), (1, 0))

    @parameterized.product(name=_BAD_NAMES, operation=tuple(ACTIONS), side=("image", "target"))
    def test_names_that_are_not_of_images_in_the_folders_are_refused(self, name, operation, side):
        (self.target / "x").mkdir(parents=True)
        (self.source / "x.jpg").write_text("precious")
        image, target = self.source / "x.jpg", self.target / "new.jpg"
        bad = f"{self.folder / ('source' if side == 'image' else 'target')}/{name}"
        bad = bad if isinstance(name, str) and name else name
        path = self.write(
            *((bad, str(target)) if side == "image" else (str(image), bad)), operation
        )
        self.assert_refused(path, "^--undo=.*foreign", self.source, self.target)

    @parameterized.parameters(*ACTIONS)
    def test_paths_outside_the_folders_are_refused(self, operation: str):
        inside = str(self.source / "x.jpg"), str(self.target / "x.jpg")
        outside = str(self.precious)
        for image, target in (
            (inside[0], outside),
            (outside, inside[1]),
            (inside[1], inside[0]),
            (inside[0], f"{self.target}2/x.jpg"),
            (inside[0].upper(), inside[1]),
        ):
            path = self.write(image, target, operation)
            self.assert_refused(path, "is not in /", self.source, self.target)

    def test_a_new_name_has_the_old_suffix(self):
        path = self.write(str(self.source / "x.jpg"), str(self.target / "x.png"))
        self.assert_refused(path, "is not a new name of", self.source, self.target)

    @parameterized.parameters("[" * 100_000, "1" * 10_000, '[{"picture": NaN}]', "null", "\0", "{}")
    def test_contents_that_are_not_results_are_refused(self, content: str):
        path = self.folder / "foreign.json"
        path.write_text(content)
        self.assert_refused(
            path, "was not written by --results; choose a file", self.source, self.target
        )

    def test_huge_files_are_refused_unread(self):
        path = self.folder / "foreign.json"
        with path.open("wb") as file:
            file.truncate(1 << 40)
        with self.assertRaisesRegex(UserError, "it has more than 1.1 GB"):
            undo(path, (self.source, self.target))

    @parameterized.parameters("folder", "file", "hard link", "pipe", "content")
    def test_what_took_the_place_of_an_image_is_kept(self, kind: str):
        results = self.sort("move", a="x/1")
        image = self.target / "x" / "1.jpg"
        image.unlink()
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "1.jpg").write_text("a")
        if kind == "folder":
            image.parent.rmdir()
            image.parent.symlink_to(elsewhere)
        elif kind == "file":
            image.symlink_to(elsewhere / "1.jpg")
        elif kind == "hard link":
            image.hardlink_to(self.precious)
        elif kind == "pipe":
            os.mkfifo(image)
        else:
            image.write_text("b")
        before = self.contents()
        self.assertEqual(undo(results), (0, 1))
        self.assertEqual(self.contents(), before)

    def test_a_hard_link_is_not_moved_without_a_digest(self):
        results = self.sort("move", record=False, a="1")
        (self.target / "1.jpg").unlink()
        (self.target / "1.jpg").hardlink_to(self.precious)
        self.assertEqual(undo(results, (self.source, self.target)), (0, 1))
        self.assertEmpty(self.images())

    @parameterized.parameters("source", "target")
    def test_a_folder_that_became_a_link_is_not_entered(self, name: str):
        results = self.sort("move", a="1")
        folder, elsewhere = self.folder / name, self.folder / "elsewhere"
        folder.rename(elsewhere)
        folder.symlink_to(elsewhere)
        before = self.contents()
        self.assertEqual(undo(results), (0, 1))
        self.assertEqual(self.contents(), before)

    def test_an_image_that_is_swapped_during_the_undo_is_kept(self):
        results = self.sort("move", a="1")
        link = os.link

        def swap_and_link(*arguments, **options) -> None:
            (self.target / "1.jpg").unlink()
            link(self.precious, self.target / "1.jpg")
            link(*arguments, **options)

        with absltest.mock.patch.object(os, "link", swap_and_link):
            self.assertEqual(undo(results), (0, 1))
        self.assertEmpty(self.images())
        self.assertEqual((self.target / "1.jpg").read_text(), "precious")

    def test_a_folder_that_is_swapped_during_the_undo_is_not_entered(self):
        results = self.sort("copy", a="x/1")
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "1.jpg").write_text("a")
        open_file = folder_tree.Place.open_file

        def swap_and_open(place, **options):
            if place.path.is_relative_to(self.target) and not (self.folder / "away").exists():
                (self.target / "x").rename(self.folder / "away")
                (self.target / "x").symlink_to(elsewhere)
            return open_file(place, **options)

        with absltest.mock.patch.object(folder_tree.Place, "open_file", swap_and_open):
            self.assertEqual(undo(results), (1, 0))
        # The copy was removed from the folder that was open.
        self.assertFalse((self.folder / "away" / "1.jpg").exists())
        self.assertEqual((elsewhere / "1.jpg").read_text(), "a")


class ForeignJournalTest(_UndoTestCase):
    """Journals that this user's program did not write into this folder."""

    def settings(self) -> dict[str, object]:
        return {
            "source": str(self.source),
            "target": str(self.target),
            "how": "move",
            "dry_run": False,
        }

    def write(self, *, recorded: bool = True) -> Path:
        """Writes the journal of a run that was interrupted, and moves its images."""
        self.target.mkdir()
        key = run_records.new_key() if recorded else None
        if key:
            run_records.write(key, RunRecord.of_folders(self.source, self.target))
        path = self.target / NAME
        with Journal(path) as journal:
            journal.start(
                self.settings(), ["x"], ["a.jpg", "b.jpg"], run_key=key, created_folders=["."]
            )
            for stem in "ab":
                (self.source / f"{stem}.jpg").write_text(stem)
                digest = digests.of_image(self.source / f"{stem}.jpg", moves=True)
                plan = Plan(f"{stem}.jpg", f"x/{stem}.jpg", "x", 0.5, digest=digest)
                journal.write_plans([plan], [] if (self.target / "x").exists() else ["x"])
                (self.target / "x").mkdir(exist_ok=True)
                (self.source / f"{stem}.jpg").rename(self.target / "x" / f"{stem}.jpg")
                if stem == "a":
                    journal.write_done({})
        return path

    def test_a_recorded_journal_is_undone(self):
        undo(self.write())
        self.assertEqual(self.images(), {"a": "a", "b": "b"})
        self.assertFalse(self.target.exists())
        self.assertEmpty(list((self.folder / "state").rglob("*.json")))

    def test_a_journal_without_a_record_needs_the_folders(self):
        path = self.write(recorded=False)
        with self.assertRaisesRegex(UserError, "name its folders, as in --undo=.* SRC DEST"):
            undo(path)
        for folders in ((self.folder, self.target), (self.source, self.folder)):
            with self.assertRaisesRegex(UserError, "does not belong to a run from"):
                undo(path, folders)
        self.assertEqual(undo(path, (self.source, self.target)), (2, 0))
        self.assertEqual(self.images(), {"a": "a", "b": "b"})

    def test_a_journal_is_not_undone_from_another_folder(self):
        path = self.write()
        copied = self.folder / NAME
        shutil.copyfile(path, copied)
        with self.assertRaisesRegex(UserError, "does not belong to a run from"):
            undo(copied)
        self.assertTrue(copied.exists())
        self.assertEqual(undo(path), (2, 0))

    @parameterized.parameters("symbolic", "hard", "pipe")
    def test_a_journal_that_is_not_a_file_of_its_own_is_refused(self, kind: str):
        path = self.write()
        if kind == "symbolic":
            path.rename(self.folder / "journal")
            path.symlink_to(self.folder / "journal")
        elif kind == "hard":
            (self.folder / "journal").hardlink_to(path)
        else:
            path.unlink()
            os.mkfifo(path)
        with self.assertRaisesRegex(UserError, "it is a|neither a results file"):
            undo(path)
        if kind != "pipe":
            with self.assertRaisesRegex(UserError, "it is a"):
                Journal(path)
        self.assertEmpty(self.images())

    @parameterized.product(name=_BAD_NAMES, place=("image", "target", "folders"))
    def test_names_that_are_not_of_images_in_the_folders_are_refused(self, name, place):
        if place == "folders" and name == "id_rsa":
            return  # A valid name of a folder.
        if place == "folders" and name in (".", "id.jpg", "a.jpg"):
            return
        if place == "target" and name is None:
            return  # The image was not transferred.
        path = self.write()
        *lines, plan = path.read_text().splitlines()
        fields = json.loads(plan)
        if place == "folders":
            fields["folders"] = [name]
        else:
            fields["plan"][0][("image", "target").index(place)] = name
        path.write_text("\n".join([*lines, json.dumps(fields), ""]))
        before = self.contents()
        with self.assertRaisesRegex(UserError, "is damaged; move it elsewhere$"):
            undo(path)
        self.assertEqual(self.contents(), before)

    @parameterized.parameters(
        ({"plan": [["a.jpg", "x/a.jpg", "x", "0.5", None, []]]},),
        ({"plan": [["a.jpg", "x/a.jpg", 1, 0.5, None, []]]},),
        ({"plan": [["a.jpg", "x/a.jpg", "x", 0.5, None, [None]]]},),
        ({"plan": [["a.jpg", "x/a.jpg", "x", 0.5, None, [], "digest"]]},),
        ({"plan": [["a.jpg", "x/a.jpg"]]},),
        ({"plan": "a"},),
        ({"plan": None},),
        ({"done": []},),
        ({"done": {"x": "y"}},),
        ({"done": {"0": 1}},),
        ({"pictures": []},),
        ({"unknown": 1},),
        1,
    )
    def test_fields_of_other_types_are_refused(self, line: object):
        path = self.write()
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        with self.assertRaisesRegex(UserError, "is damaged; move it elsewhere$"):
            undo(path)

    @parameterized.parameters("[" * 100_000 + "\n", "1" * 10_000 + "\n", '{"plan": [[NaN]]}\n')
    def test_lines_that_are_hard_to_parse_are_refused(self, line: str):
        path = self.write()
        with path.open("a") as file:
            file.write(line)
        with self.assertRaisesRegex(UserError, "is damaged; move it elsewhere$"):
            undo(path)

    def test_endless_lines_are_not_read_into_memory(self):
        path = self.write()
        with path.open("ab") as file:
            file.truncate(1 << 40)
        with self.assertRaisesRegex(UserError, "is damaged; move it elsewhere$"):
            undo(path)


if __name__ == "__main__":
    absltest.main()
