"""Tests that a new classifier file replaces the served classifier only if it can be used."""

import threading
from pathlib import Path
from unittest import mock

from absl.testing import absltest

from label_image.classifier import Overrides
from retrain.data.image_limits import ImageLimits
from retrain.errors import UserError
from tools.server import served_model
from tools.server.served_model import ServedModel

_SECONDS = 0.01


class _LineClassifier:
    """A classifier whose labels are the lines of its file."""

    def __init__(self, graph: Path, *, overrides: Overrides, limits: ImageLimits) -> None:
        graph = graph / "saved_model.pb" if graph.is_dir() else graph
        text = graph.read_text()
        if text == "unusable":
            raise UserError("it is unusable")
        if text == "defect":
            raise ZeroDivisionError("a defect")
        path = overrides.labels_file or graph
        self.labels = tuple(path.read_text().splitlines())
        self.unknown_below = overrides.unknown_below

    def classify_one(self, source: bytes) -> None:
        assert source.startswith(b"\xff\xd8")


class ServedModelTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.enter_context(mock.patch.object(served_model, "Classifier", _LineClassifier))
        folder = Path(self.create_tempdir().full_path)
        self.graph, self.labels_file = folder / "graph.pb", folder / "labels.txt"
        self.graph.write_text("a\nb")
        self.labels_file.write_text("x\ny")

    def watched(self, **options) -> ServedModel:
        model = ServedModel(self.graph, **options)
        self.addCleanup(model.stop)
        model.watch(_SECONDS)
        return model

    def replace(self, path: Path, text: str) -> None:
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)

    def wait_until(self, condition) -> None:
        for _ in range(3000):
            if condition():
                return
            threading.Event().wait(_SECONDS)
        self.fail("the condition was never true")

    def test_a_new_file_is_loaded(self):
        model = self.watched()
        before, classifier = model.loaded_at, model.classifier
        self.assertEqual(model.labels, ("a", "b"))
        self.replace(self.graph, "c")
        self.wait_until(lambda: model.labels == ("c",))
        self.wait_until(lambda: model.loaded_at > before)
        self.assertEqual(classifier.labels, ("a", "b"))

    def test_a_new_file_in_a_folder_is_loaded(self):
        self.graph.unlink()
        self.graph.mkdir()
        (self.graph / "saved_model.pb").write_text("a\nb")
        model = self.watched()
        (self.graph / "saved_model.pb").write_text("c\nd\ne")
        self.wait_until(lambda: model.labels == ("c", "d", "e"))

    def test_a_new_labels_file_is_loaded(self):
        model = self.watched(overrides=Overrides(labels_file=self.labels_file))
        self.assertEqual(model.labels, ("x", "y"))
        self.replace(self.labels_file, "z")
        self.wait_until(lambda: model.labels == ("z",))

    def test_the_old_classifier_stays_if_the_new_file_cannot_be_used(self):
        model = self.watched()
        for number, (text, reason) in enumerate(
            (("unusable", "it is unusable"), ("defect", "ZeroDivisionError: a defect")), 1
        ):
            self.replace(self.graph, text)
            self.wait_until(lambda count=number: model.failed_reloads == count)
            self.assertIn(reason, model.reload_error)
            self.assertEqual(model.labels, ("a", "b"))
        self.graph.unlink()
        self.wait_until(lambda: model.failed_reloads == 3)
        self.replace(self.graph, "d")
        self.wait_until(lambda: model.labels == ("d",))
        self.wait_until(lambda: model.reload_error == "")

    def test_each_new_classifier_gets_the_users_threshold(self):
        model = self.watched(overrides=Overrides(unknown_below=0.2))
        self.assertEqual(model.classifier.unknown_below, 0.2)
        self.replace(self.graph, "c")
        self.wait_until(lambda: model.labels == ("c",))
        self.assertEqual(model.classifier.unknown_below, 0.2)

    def test_a_line_says_once_per_file_that_a_classifier_has_no_familiarity(self):
        with self.assertLogs(level="INFO") as logged:
            ServedModel(self.graph)
        self.assertIn("does not state how familiar images are", logged.output[0])
        with self.assertNoLogs(level="INFO"):
            ServedModel(self.graph, overrides=Overrides(unknown_below=0.0))

    def test_a_file_that_cannot_be_used_at_the_start_is_an_error(self):
        self.graph.write_text("unusable")
        with self.assertRaisesRegex(UserError, "it is unusable"):
            ServedModel(self.graph)

    def test_the_watcher_ends_when_it_is_stopped(self):
        model = self.watched()
        model.stop()
        self.replace(self.graph, "c")
        threading.Event().wait(10 * _SECONDS)
        self.assertEqual(model.labels, ("a", "b"))


if __name__ == "__main__":
    absltest.main()
