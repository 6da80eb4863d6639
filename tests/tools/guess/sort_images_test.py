"""Tests that images are sorted with classifiers that are files and with those that are folders."""

import contextlib
import os
from pathlib import Path

from absl.testing import absltest

from label_image.classifier import Prediction
from retrain.errors import UserError
from retrain.system.files import atomic_file
from tests.support import other_users
from tools.guess import sort_images as sort_images_module
from tools.guess.options import Options
from tools.guess.sort_images import sort_images
from tools.guess.undo import undo


class _OneLabelClassifier:
    labels = ("a", "b")

    def classify(self, sources):
        for source in sources:
            yield Prediction(source, (("a", 0.9), ("b", 0.1)))


class SortImagesTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        state = {"XDG_STATE_HOME": str(self.folder / "state")}
        self.enter_context(absltest.mock.patch.dict(os.environ, state))
        self.graph, self.source = self.folder / "graph.pb", self.folder / "source"
        self.graph.write_bytes(b"x")
        self.source.mkdir()
        (self.source / "0.jpg").write_bytes(b"y")

    def sort(self, target: Path, **options) -> int:
        graph = options.pop("graph", self.graph)
        options = Options(source=self.source, target=target, by_folder=True, **options)
        return sort_images(options, graph, _OneLabelClassifier()).num_failed

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
        def replaced_file(path: Path):
            with atomic_file(path) as temporary:
                yield temporary
            path.write_text("picture,filed,action\n")

        with absltest.mock.patch.object(sort_images_module, "atomic_file", replaced_file):
            self.sort(self.folder / "target", results=results)
        with self.assertRaisesRegex(UserError, "was not written by this version of guess_dir"):
            undo(results)

    def test_a_target_that_existed_stays_if_nothing_is_sorted(self):
        target = self.folder / "target"
        target.mkdir()
        (self.source / "0.jpg").unlink()
        with self.assertRaises(UserError):
            self.sort(target)
        self.assertTrue(target.exists())


if __name__ == "__main__":
    absltest.main()
