"""Tests that images are sorted with classifiers that are files and with those that are folders."""

import contextlib
import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from absl.testing import absltest, parameterized

from label_image.classifier import Overrides, Prediction
from retrain.errors import UserError
from retrain.metadata import CROP, STRETCH
from retrain.runtimes.runtime import NO_DESCRIPTION
from retrain.system.outputs.atomic_files import atomic_file
from retrain.system.program.interruption import Interruption
from tests.support import other_users
from tools.guess import batch_sorter
from tools.guess import sort_images as sort_images_module
from tools.guess.options import Options
from tools.guess.sort_images import sort_images
from tools.transfers import results_writer
from tools.transfers.journal import NAME
from tools.transfers.undo import undo


class _ForeignClassifier:
    """A classifier whose file does not state how images are resized."""

    def __init__(self, *, fit: str = STRETCH, mean: float | None = None) -> None:
        self.decoding = SimpleNamespace(fit=fit)
        self.runtime = SimpleNamespace(description=NO_DESCRIPTION)
        self.overrides = Overrides(mean=mean)


class _OneLabelClassifier(_ForeignClassifier):
    labels = ("a", "b")
    unknown_below = None

    def classify(self, sources):
        for source in sources:
            yield Prediction(source, (("a", 0.9), ("b", 0.1)))


class _SizeClassifier(_ForeignClassifier):
    """A classifier whose familiarity is the size of the file divided by 10."""

    def __init__(self, *labels: str, unknown_below: float = 0.5) -> None:
        super().__init__()
        self.labels = labels
        self.unknown_below = unknown_below

    def classify(self, sources):
        for source in sources:
            familiarity = source.stat().st_size / 10
            is_unknown = familiarity < self.unknown_below
            ranked = tuple((label, 1 / len(self.labels)) for label in self.labels)
            yield Prediction(source, ranked, familiarity, is_unknown=is_unknown)


class SortImagesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        state = {"XDG_STATE_HOME": str(self.folder / "state")}
        self.enter_context(absltest.mock.patch.dict(os.environ, state))
        self.graph, self.source = self.folder / "graph.pb", self.folder / "source"
        self.graph.write_bytes(b"x")
        self.source.mkdir()
        (self.source / "0.jpg").write_bytes(b"y")

    def sort(
        self, target: Path, *, graph: Path | None = None, classifier: Any = None, **changes: Any
    ) -> int:
        options = Options(source=self.source, target=target, **{"by_folder": True, **changes})
        classifier = classifier or _OneLabelClassifier()
        return sort_images(options, graph or self.graph, classifier).num_failed

    def sorted_files(self, target: Path) -> list[str]:
        files = [path for path in target.rglob("*") if path.is_file()]
        return sorted(path.relative_to(target).as_posix() for path in files)

    def test_the_classifier_can_be_a_file_or_a_folder(self):
        saved_model = self.folder / "saved"
        saved_model.mkdir()
        (saved_model / "saved_model.pb").write_bytes(b"x")
        for graph in (self.graph, saved_model):
            target = self.folder / f"sorted with {graph.name}"
            self.assertEqual(self.sort(target, graph=graph), 0)
            self.assertTrue((target / "a" / "0.jpg").is_file())

    def test_images_are_not_sorted_into_folders_of_others(self):
        target = self.folder / "target"
        target.mkdir()
        target.chmod(0o777)
        self.folder.chmod(0o755)
        other_users.make_link(self, target / "a", self.folder)
        with self.assertRaisesRegex(
            UserError, f"{target}/a belongs to the user .* and everyone can write to {target}; no"
        ):
            self.sort(target, operation="move")
        self.assertTrue((self.source / "0.jpg").exists())
        self.assertCountEqual(target.iterdir(), [target / "a"])

    def test_a_run_that_ends_keeps_a_record_only_with_its_results(self):
        records = self.folder / "state" / "retrain" / "guess_dir"
        self.sort(self.folder / "1")
        self.assertEmpty(list(records.iterdir()))
        self.sort(self.folder / "2", results=self.folder / "results.csv")
        self.assertLen(list(records.iterdir()), 1)
        undo(self.folder / "results.csv")
        self.assertFalse((self.folder / "2").exists())

    def test_results_that_another_user_replaces_at_once_have_no_record(self):
        results = self.folder / "results.csv"

        @contextlib.contextmanager
        def replaced_file(path: Path, flag: str):
            with atomic_file(path, flag=flag) as temporary:
                yield temporary
            path.write_text("picture,filed,action\n")

        with absltest.mock.patch.object(sort_images_module, "atomic_file", replaced_file):
            self.sort(self.folder / "target", results=results)
        with self.assertRaisesRegex(UserError, "was not written by this version of guess_dir"):
            undo(results)

    def test_a_disk_too_full_for_the_results_leaves_the_journal(self):
        target, results = self.folder / "target", self.folder / "r.csv"
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with (
            absltest.mock.patch.object(results_writer, "write", side_effect=full),
            self.assertRaisesRegex(
                UserError,
                f"^--results={results} cannot be written: No space left on device; free some "
                "space, or choose another folder; 1 of 1 images are done: solve the problem and "
                "run the same command again to continue, or restore the "
                f"images with --undo={target / NAME}$",
            ),
        ):
            self.sort(target, results=results)
        self.sort(target, results=results)
        self.assertLen(results.read_text().splitlines(), 2)

    def draw_sizes(self) -> None:
        """Puts three unfamiliar images and a familiar one into the source folder."""
        (self.source / "in").mkdir()
        for name, size in (("0.jpg", 1), ("in/0.jpg", 2), ("1.png", 3), ("2.jpg", 6)):
            (self.source / name).write_bytes(b"y" * size)

    @parameterized.parameters(
        (True, 0.0, "a/2.jpg"), (False, 0.0, "a-0.50000.jpg"), (True, 0.9, "unsure/a/2.jpg")
    )
    def test_unknown_images_go_to_their_own_folder_under_their_own_names(
        self, by_folder: bool, unsure_below: float, familiar: str
    ):
        self.draw_sizes()
        target, results = self.folder / "target", self.folder / "results.json"
        self.sort(
            target,
            classifier=_SizeClassifier("a", "b"),
            recursive=True,
            operation="move",
            by_folder=by_folder,
            unsure_below=unsure_below,
            results=results,
        )
        unknown = ["unknown/0-2.jpg", "unknown/0.jpg", "unknown/1.png"]
        self.assertEqual(self.sorted_files(target), sorted([familiar, *unknown]))
        written = {record["image"]: record for record in json.loads(results.read_text())}
        self.assertLen([record for record in written.values() if record["unknown"]], 3)
        first = written[str(self.source / "0.jpg")]
        self.assertEqual((first["familiarity"], first["label"]), (0.1, "a"))
        undo(results)
        self.assertEqual(self.sorted_files(self.source), ["0.jpg", "1.png", "2.jpg", "in/0.jpg"])
        self.assertFalse(target.exists())

    @parameterized.parameters("unknown", "Unknown")
    def test_a_class_called_unknown_does_not_share_the_folder_of_unknown_images(self, label: str):
        self.draw_sizes()
        with self.assertLogs(level="WARNING") as logged:
            self.sort(self.folder / "target", classifier=_SizeClassifier(label, "b"))
        self.assertLen(logged.output, 1)
        self.assertIn(f"Images of the class {label} are sorted as {label}-2", logged.output[0])
        self.assertEqual(
            self.sorted_files(self.folder / "target"),
            sorted([f"{label}-2/2.jpg", "unknown/0.jpg", "unknown/1.png"]),
        )
        # Without folders of classes, or without unknown images, the class keeps its name.
        for number, (by_folder, threshold, name) in enumerate(
            ((False, 0.5, f"{label}-0.50000.jpg"), (True, 0.0, f"{label}/2.jpg"))
        ):
            classifier = _SizeClassifier(label, "b", unknown_below=threshold)
            target = self.folder / f"target {number}"
            with self.assertNoLogs(level="WARNING"):
                self.sort(target, classifier=classifier, by_folder=by_folder)
            self.assertIn(name, self.sorted_files(target))

    def interrupt(self, target: Path, classifier: Any) -> Path:
        """Sorts one image, is interrupted before the others, and returns the journal."""
        with absltest.mock.patch.object(batch_sorter, "_BATCH_SIZE", 1):
            classify, journal = classifier.classify, target / NAME

            def classify_one(sources):
                yield next(classify(sources))
                raise KeyboardInterrupt

            classifier.classify = classify_one
            with self.assertRaises(Interruption):
                self.sort(target, classifier=classifier)
            classifier.classify = classify
        return journal

    def test_an_interrupted_run_continues_only_with_the_same_threshold(self):
        self.draw_sizes()
        target, classifier = self.folder / "target", _SizeClassifier("a", "b")
        self.interrupt(target, classifier)
        with self.assertRaisesRegex(UserError, "a different --unknown_below; continue that run"):
            self.sort(target, classifier=_SizeClassifier("a", "b", unknown_below=0.1))
        self.sort(target, classifier=classifier)
        self.assertEqual(self.sorted_files(target), ["a/2.jpg", "unknown/0.jpg", "unknown/1.png"])

    def test_a_run_that_an_earlier_version_began_is_continued(self):
        self.draw_sizes()
        target, classifier = self.folder / "target", _OneLabelClassifier()
        journal = self.interrupt(target, classifier)
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        for name in ("unknown_below", "fit", "input_mean", "input_std"):
            del lines[0]["run"][name]
        for line in lines[1:]:
            if "plan" in line:
                line["plan"] = [fields[:7] for fields in line["plan"]]
        journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        with self.assertRaisesRegex(UserError, "a different --fit; continue that run"):
            self.sort(target, classifier=_OneLabelClassifier(fit=CROP))
        with self.assertRaisesRegex(UserError, "a different --input_mean; continue that run"):
            self.sort(target, classifier=_OneLabelClassifier(mean=127.5))
        self.sort(target, classifier=classifier)
        self.assertEqual(self.sorted_files(target), ["a/0.jpg", "a/1.png", "a/2.jpg"])

    def test_a_target_that_existed_stays_if_nothing_is_sorted(self):
        target = self.folder / "target"
        target.mkdir()
        (self.source / "0.jpg").unlink()
        with self.assertRaises(UserError):
            self.sort(target)
        self.assertTrue(target.exists())


if __name__ == "__main__":
    absltest.main()
