"""Files are written together or not at all, and only if they agree with the tested classifier."""

import dataclasses
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from absl.testing import absltest

from retrain.bottlenecks.features import Bottlenecks, SplitFeatures
from retrain.config import SplitOptions
from retrain.data import splits
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.export import coreml, outputs
from retrain.export.coreml_reference.errors import UnsupportedOperationError
from retrain.export.outputs import Classifiers, Exported
from retrain.output_options import OutputOptions, TFLiteOptions
from retrain.runtimes.graph_session import SessionRuntime
from retrain.system.outputs.staging import Staging
from tests.support import sample_classifier

_NONE = SplitFeatures((), np.zeros((0, 1, 2), np.float16), np.zeros(0, np.int64))


class StageClassifiersTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.classifier = sample_classifier.classifier()

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def options(self, **changes: Any) -> OutputOptions:
        return OutputOptions(
            output_graph=self.folder / "g.pb",
            output_labels=self.folder / "l.txt",
            summaries_dir=None,
            **changes,
        )

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def features(self, count: int) -> Bottlenecks:
        folder = Path(self.create_tempdir().full_path)
        paths = [
            sample_classifier.save(folder, image, f"{number}.png")
            for number, image in enumerate(sample_classifier.images(count))
        ]
        images = tuple(ImageFile(path, 0, TEST, None) for path in paths)
        tested = SplitFeatures(
            images, np.zeros((count, 1, 2), np.float16), np.zeros(count, np.int64)
        )
        dataset = Dataset(
            folder, ("a",), ("a",), (), splits.SplitPercentages.from_options(SplitOptions())
        )
        split_features = {TEST: tested, VALIDATION: _NONE, TRAINING: _NONE}
        return Bottlenecks(dataset, "float32", split_features, 0, {})

    def export(self, options: OutputOptions, count: int, classifier=None) -> Exported:
        with Staging() as staging:
            # As a plot, which must not be replaced either if a file disagrees.
            staging.file(self.folder / "plot.png").write_text("new")
            classifiers = Classifiers(classifier or self.classifier)
            return outputs.stage_classifiers(staging, classifiers, options, self.features(count))

    def test_each_file_is_written_checked_and_listed(self):
        options = self.options(
            saved_model_dir=self.folder / "saved",
            keras_file=self.folder / "k.keras",
            tflite_file=self.folder / "t.tflite",
        )
        exported = self.export(options, 5)
        expected = ["g.pb", "k.keras", "l.txt", "saved", "t.tflite"]
        self.assertEqual(self.names(), sorted([*expected, "plot.png"]))
        self.assertEqual(sorted(file.path.name for file in exported.files), expected)
        kinds = [check.kind for check in exported.parity_checks]
        self.assertEqual(kinds, ["frozen graph", "SavedModel", "Keras", "TFLite, float32"])
        for check in exported.parity_checks:
            self.assertEqual((check.from_pixels.agreement, check.from_pixels.images), (1, 5))
            self.assertLess(check.from_pixels.largest, 1e-4)
        for check in exported.parity_checks[:2]:
            self.assertEqual(check.from_files.images, 5)
        self.assertIn("5 held-out images", exported.parity_table[0])
        self.assertTrue((self.folder / "saved" / "saved_model.pb").is_file())
        labels = (self.folder / "l.txt").read_text("utf-8")
        self.assertEqual(labels, "red\ngrün\nblue sky\n")

    def test_if_one_file_disagrees_no_file_is_replaced(self):
        for name in ("g.pb", "l.txt", "plot.png", "t.tflite"):
            (self.folder / name).write_text("of an earlier run")
        head = self.classifier.head
        # Without what all images have in common, small differences decide the label.
        features = sample_classifier.features(sample_classifier.images(40))
        bias = -features.mean(0) @ head.weights
        classifier = dataclasses.replace(
            self.classifier, head=dataclasses.replace(head, bias=bias.astype(np.float32))
        )
        options = self.options(
            tflite_file=self.folder / "t.tflite",
            tflite=TFLiteOptions("dynamic"),
            min_agreement=1.0,
        )
        with (
            self.assertRaisesRegex(
                UserError, r"--tflite_file=.* only 9\d\.\d%.*--min_agreement=1; no file"
            ),
            self.assertLogs(level="INFO") as logs,
        ):
            self.export(options, 40, classifier)
        self.assertIn("TFLite, dynamic", "\n".join(logs.output))
        self.assertEqual(self.names(), ["g.pb", "l.txt", "plot.png", "t.tflite"])
        for path in self.folder.iterdir():
            self.assertEqual(path.read_text(), "of an earlier run")

    def test_files_are_written_if_only_their_own_decoder_disagrees(self):
        def run_file(_: SessionRuntime, data: bytes) -> np.ndarray:
            return np.array([0.2, 0.3, 0.5], np.float32)

        with (
            mock.patch.object(SessionRuntime, "run_file", run_file),
            self.assertLogs(level="WARNING") as logs,
        ):
            exported = self.export(self.options(), 5)
        self.assertIn("g.pb", self.names())
        (check,) = exported.parity_checks
        self.assertEqual(check.from_pixels.agreement, 1)
        self.assertLess(check.from_files.agreement, 1)
        self.assertRegex(logs.output[0], "frozen graph: it decodes .* images differently, . PNG, ")

    def test_a_head_with_other_probabilities_is_a_defect(self):
        class OtherHead(type(self.classifier.head)):
            """Claims probabilities that are not those of its weights."""

            def probabilities(self, features):
                return super().probabilities(features) + np.float32([0.01, -0.01, 0])

        head = OtherHead(self.classifier.head.weights, self.classifier.head.bias)
        classifier = dataclasses.replace(self.classifier, head=head)
        with self.assertRaisesRegex(
            outputs.ParityError, "frozen graph: probabilities differ by 0.0"
        ):
            self.export(self.options(), 5, classifier)
        self.assertEqual(self.names(), [])

    def test_a_file_that_cannot_be_verified_is_written_with_a_warning(self):
        def write(path: Path, classifier, options) -> None:
            path.write_bytes(b"model")

        error = UnsupportedOperationError("the operation x")
        options = self.options(coreml_file=self.folder / "c.mlmodel")
        with (
            mock.patch.object(coreml, "write", write),
            mock.patch.object(coreml, "load", side_effect=error),
            self.assertLogs(level="WARNING") as logs,
        ):
            exported = self.export(options, 5)
        self.assertRegex(logs.output[0], "--coreml_file=.* without .*not support the operation x")
        self.assertEqual(self.names(), ["c.mlmodel", "g.pb", "l.txt", "plot.png"])
        self.assertEqual([check.kind for check in exported.parity_checks], ["frozen graph"])
        self.assertRegex(exported.parity_table[-1], "^  Core ML, float16 +not verified$")


if __name__ == "__main__":
    absltest.main()
