"""Classifiers are written together or not at all, and only when they answer as they were tested."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import efficientnet_lite0
from retrain.bottlenecks.compute import Bottlenecks, Part
from retrain.config import OutputOptions, SplitOptions, TFLiteOptions
from retrain.data import splits
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.export import outputs
from retrain.training.evaluation import evaluate
from retrain.training.results import Trained
from tests.support import sample_classifier

_NONE = Part((), np.zeros((0, 1, 2), np.float16), np.zeros(0, np.int64))


class OutputsTestCase(parameterized.TestCase):
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


class WriteTest(OutputsTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.classifier = sample_classifier.classifier()

    def features(self, count: int) -> Bottlenecks:
        folder = Path(self.create_tempdir().full_path)
        paths = [
            sample_classifier.save(folder, image, f"{number}.png")
            for number, image in enumerate(sample_classifier.images(count))
        ]
        images = tuple(ImageFile(path, 0, TEST, None) for path in paths)
        tested = Part(images, np.zeros((count, 1, 2), np.float16), np.zeros(count, np.int64))
        dataset = Dataset(
            folder, ("a",), ("a",), (), splits.SplitPercentages.from_options(SplitOptions())
        )
        parts = {TEST: tested, VALIDATION: _NONE, TRAINING: _NONE}
        return Bottlenecks(dataset, "float32", parts, 0, {})

    def test_each_file_is_written_compared_and_listed(self):
        options = self.options(
            saved_model_dir=self.folder / "saved",
            keras_file=self.folder / "k.keras",
            tflite_file=self.folder / "t.tflite",
        )
        classifiers = {"float32": self.classifier}
        written, checked, table = outputs.write_classifiers(classifiers, options, self.features(5))
        expected = ["g.pb", "k.keras", "l.txt", "saved", "t.tflite"]
        self.assertEqual(self.names(), expected)
        self.assertEqual(sorted(file.path.name for file in written), expected)
        kinds = [file.kind for file in checked]
        self.assertEqual(kinds, ["frozen graph", "SavedModel", "Keras", "TFLite, float32"])
        for file in checked:
            self.assertEqual((file.agreement, file.from_pixels.images), (1, 5))
            self.assertLess(file.from_pixels.largest, 1e-4)
        for file in checked[:2]:
            self.assertEqual(file.from_files.images, 5)
        self.assertIn("5 held-out images", table[0])
        self.assertTrue((self.folder / "saved" / "saved_model.pb").is_file())
        labels = (self.folder / "l.txt").read_text("utf-8")
        self.assertEqual(labels, "red\ngrün\nblue sky\n")

    def test_where_one_file_answers_otherwise_nothing_is_replaced(self):
        for name in ("g.pb", "l.txt", "t.tflite"):
            (self.folder / name).write_text("of an earlier run")
        head = self.classifier.head
        # What every image has in common is taken away, so that little decides its label.
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
                UserError, r"--tflite_file=.* 9\d\.\d%.*--min_agreement=1; no file"
            ),
            self.assertLogs(level="INFO") as logs,
        ):
            outputs.write_classifiers({"float32": classifier}, options, self.features(40))
        self.assertIn("TFLite, dynamic", "\n".join(logs.output))
        self.assertEqual(self.names(), ["g.pb", "l.txt", "t.tflite"])
        for path in self.folder.iterdir():
            self.assertEqual(path.read_text(), "of an earlier run")

    def test_another_head_than_the_tested_one_is_a_defect(self):
        class Stubborn(type(self.classifier.head)):
            """Claims probabilities that are not those of its weights."""

            def probabilities(self, features):
                return super().probabilities(features) + np.float32([0.01, -0.01, 0])

        head = Stubborn(self.classifier.head.weights, self.classifier.head.bias)
        classifier = dataclasses.replace(self.classifier, head=head)
        with self.assertRaisesRegex(
            outputs.DisagreementError, "frozen graph: scores differ by 0.0"
        ):
            outputs.write_classifiers({"float32": classifier}, self.options(), self.features(5))
        self.assertEqual(self.names(), [])


class CheckTest(OutputsTestCase):
    def assert_refused(self, message: str, **changes: Any) -> None:
        with self.assertRaisesRegex(UserError, message):
            outputs.check(self.options(**changes), efficientnet_lite0.load())

    def test_what_can_be_written_leaves_no_trace(self):
        options = self.options(
            saved_model_dir=self.folder / "a" / "saved",
            keras_file=self.folder / "k.keras",
            tflite_file=self.folder / "t.tflite",
        )
        outputs.check(options, efficientnet_lite0.load())
        self.assertEqual(self.names(), [])

    def test_a_folder_where_a_file_should_be(self):
        self.assert_refused(f"--tflite_file={self.folder} is a folder", tflite_file=self.folder)
        folder = self.folder / "k.keras"
        folder.mkdir()
        self.assert_refused(f"--keras_file={folder} is a folder", keras_file=folder)

    def test_a_folder_of_other_things_is_not_replaced(self):
        (self.folder / "holidays.jpg").touch()
        self.assert_refused(f"--saved_model_dir={self.folder} ", saved_model_dir=self.folder)

    def test_a_name_that_keras_does_not_open(self):
        self.assert_refused("must end in .keras", keras_file=self.folder / "model.h5")

    def test_a_kind_of_tflite_file_that_there_is_not(self):
        self.assert_refused(
            "--tflite_quantization=int2",
            tflite_file=self.folder / "t",
            tflite=TFLiteOptions("int2"),
        )

    def test_a_network_that_tflite_does_not_run(self):
        backbone = dataclasses.replace(efficientnet_lite0.load(), tflite_file=None)
        with self.assertRaisesRegex(
            UserError, "TFLite has not all operations of efficientnet_lite0"
        ):
            outputs.check(self.options(tflite_file=self.folder / "t"), backbone)

    def test_two_files_of_one_name(self):
        path = self.folder / "g.pb"
        self.assert_refused(f"--output_graph and --tflite_file are both {path}", tflite_file=path)
        self.assert_refused(
            "--output_labels and --metrics_json", metrics_json=self.folder / "l.txt"
        )


class AccuracyTest(OutputsTestCase):
    def trained(self, right, count):
        scores = np.eye(2, dtype=np.float32)[[0] * right + [1] * (count - right)]
        evaluation = evaluate(scores.reshape(-1, 2), np.zeros(count, np.int64))
        return Trained(None, None, _NONE, {TEST: evaluation})

    def test_what_is_good_enough_passes(self):
        options = self.options(assert_accuracy_at_least=0.9)
        outputs.check_accuracy({"float32": self.trained(9, 10)}, options)
        outputs.check_accuracy({"float32": self.trained(0, 0)}, self.options())

    def test_what_is_not_good_enough_is_refused(self):
        options = self.options(assert_accuracy_at_least=0.9)
        message = "0.8000 on 10 test images, less than --assert_accuracy_at_least=0.9"
        with self.assertRaisesRegex(UserError, message):
            outputs.check_accuracy({"float32": self.trained(8, 10)}, options)

    def test_an_accuracy_that_nobody_knows_is_refused(self):
        options = self.options(assert_accuracy_at_least=0.0)
        with self.assertRaisesRegex(UserError, "no images were held out"):
            outputs.check_accuracy({"float32": self.trained(0, 0)}, options)

    def test_in_int8_only_where_that_is_written(self):
        options = self.options(assert_accuracy_at_least=0.9)
        trained = {"int8": self.trained(8, 10), "float32": self.trained(9, 10)}
        outputs.check_accuracy(trained, options)
        options = dataclasses.replace(
            options, tflite_file=self.folder / "t", tflite=TFLiteOptions("int8")
        )
        with self.assertRaisesRegex(UserError, "the accuracy in int8 is 0.8000"):
            outputs.check_accuracy(trained, options)


if __name__ == "__main__":
    absltest.main()
