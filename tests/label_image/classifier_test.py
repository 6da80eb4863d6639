"""Tests the results for images and classifiers of all kinds."""

import dataclasses
import io
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from label_image.classifier import Classifier, Overrides, Prediction, UnreadableImage
from retrain import metadata
from retrain.backbones import efficientnet_lite0, engines
from retrain.data import pixels
from retrain.data.image_limits import ImageLimits
from retrain.errors import UserError
from retrain.export import assemble, frozen_graph, tflite
from retrain.output_options import TFLiteOptions
from retrain.runtimes import classifier_file
from retrain.runtimes.function_runtime import FunctionRuntime
from retrain.runtimes.graph_def import parse_graph
from retrain.runtimes.head import Head
from retrain.runtimes.runtime import Description, Outputs, Runtime
from tests.support import programs, tflite_models

# With the name of a tensor, even the usual one, the graph runs in TensorFlow.
_BY_SESSION = Overrides(output_layer="final_result")

# Runs the program that is its first argument with the others.
_RUN_AND_LIST_TENSORFLOW = """
import contextlib, runpy, sys
sys.argv = sys.argv[1:]
with contextlib.suppress(SystemExit):
    runpy.run_path(sys.argv[0], run_name="__main__")
print("tensorflow:", [name for name in sys.modules if name.startswith("tensorflow.python")])
"""


def _content(node) -> bytes:
    return node.attr["value"].tensor.tensor_content


def _write_tflite(path: Path, classifier: assemble.TrainedClassifier) -> None:
    tflite.write(path, classifier, TFLiteOptions())


class _FamiliarityRuntime(Runtime):
    """Gives the images of a batch the scores 0.2, 0.3 and 0.5, and these familiarities."""

    def __init__(self, *familiarity: float) -> None:
        self._familiarity = np.array(familiarity, np.float32)
        self.batch_size = len(familiarity)
        known: Any = mock.sentinel.familiarity
        self.description = Description(("a", "b", "c"), 8, 8, familiarity=known)

    def predict(self, pixels: np.ndarray) -> Outputs:
        scores = np.tile(np.array([0.2, 0.3, 0.5], np.float32), (len(pixels), 1))
        return Outputs(scores, self._familiarity)

    def predict_file(self, data: bytes) -> Outputs:
        return Outputs(np.array([0.2, 0.3, 0.5], np.float32), self._familiarity[0])

    def close(self) -> None:
        pass


def _classify(runtime: Runtime, count: int, *, unknown_below: float | None = None) -> list[Any]:
    """Returns the results for equal images."""
    with mock.patch.object(classifier_file, "load", return_value=runtime):
        classifier = Classifier(Path("graph.pb"), overrides=Overrides(unknown_below=unknown_below))
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return list(classifier.classify([file.getvalue()] * count))


class ClassifierTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        backbone = efficientnet_lite0.load()
        rng = np.random.default_rng(0)
        cls.head = Head(rng.normal(0, 0.3, (1584, 3)).astype(np.float32), np.zeros(3, np.float32))
        described = metadata.Metadata(
            **dict(labels=("a", "b", "c"), folders=("a", "b", "c"), height=224, width=224),
            **dict(mean=backbone.mean, std=backbone.std, channel_order="RGB"),
            **dict(resize_method=pixels.RESIZE_METHOD, output="final_result"),
            **dict(backbone=backbone.name, fingerprint=backbone.fingerprint, split={}),
            **dict(test_accuracy=None, training={}, versions={}),
        )
        cls.classifier = classifier = assemble.TrainedClassifier(backbone, cls.head, described)
        cls.graph = cls.folder / "graph.pb"
        cls.graph.write_bytes(frozen_graph.to_bytes(classifier))
        for kind in tflite.INPUT_TYPES:
            options = TFLiteOptions(input_type=kind)
            tflite.write(cls.folder / f"{kind}.tflite", classifier, options)
        cls.runtime = engines.create(engines.FLOAT32, backbone).load()
        cls.images = []
        for number in range(40):
            path = cls.folder / f"{number}.png"
            coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
            coarse.resize((60, 70), Image.Resampling.BICUBIC).save(path)
            cls.images.append(path)

    def expected(self, path: Path) -> np.ndarray:
        decoded = pixels.decode(path.read_bytes(), 224, 224)
        return self.head.probabilities(self.runtime.run(decoded[np.newaxis]))[0]

    def test_results_are_in_order_and_match_the_head(self):
        classifier = Classifier(self.graph)
        for path, answer in zip(self.images, classifier.classify(self.images), strict=True):
            expected = self.expected(path)
            scores = dict(answer.ranked)
            self.assertEqual(answer.source, path)
            np.testing.assert_allclose([scores[x] for x in "abc"], expected, atol=1e-4)
            self.assertEqual(answer.ranked[0][0], "abc"[expected.argmax()])

    def test_sources_can_be_paths_contents_and_unreadable(self):
        good = self.images[3]
        sources = [good, good.read_bytes(), b"", self.folder / "missing.png", good]
        answers = list(Classifier(self.graph).classify(sources))
        self.assertEqual(
            [type(a) for a in answers], [Prediction] * 2 + [UnreadableImage] * 2 + [Prediction]
        )
        self.assertEqual(answers[0].ranked, answers[1].ranked)
        self.assertEqual(answers[2].reason, "it is an empty file")
        self.assertIn("No such file", answers[3].reason)

    def test_the_reason_for_a_folder_names_the_program_for_folders(self):
        (answer,) = Classifier(self.graph).classify([self.folder])
        self.assertEqual(
            answer.reason, "it is a folder; //tools:guess_dir labels the images in a folder"
        )

    def test_pipes_sockets_and_devices_are_unreadable_at_once(self):
        pipe = self.folder / "pipe.jpg"
        os.mkfifo(pipe)
        self.addCleanup(pipe.unlink)
        for overrides in (Overrides(), Overrides(input_layer="DecodeJpeg/contents")):
            classifier = Classifier(self.graph, overrides=overrides)
            pipe_result, device_result = classifier.classify([pipe, Path("/dev/zero")])
            self.assertEqual(pipe_result.reason, "it is a pipe, not a file")
            self.assertEqual(device_result.reason, "it is a device, not a file")

    @parameterized.product(version=(1, 2, None), write=(frozen_graph.write, _write_tflite))
    def test_images_are_decoded_as_they_were_for_the_training(self, version, write):
        versions = {} if version is None else {"preprocessing": version}
        described = dataclasses.replace(self.classifier.metadata, versions=versions)
        path = self.folder / "versioned"
        write(path, dataclasses.replace(self.classifier, metadata=described))
        # A black image with transparent parts.
        layer = np.zeros((40, 40, 4), np.uint8)
        layer[10:20, 5:30, 3] = 255
        image = self.folder / "transparent.png"
        Image.fromarray(layer).save(image)
        expected = pixels.decode(image.read_bytes(), 224, 224, preprocessing_version=version or 2)
        probabilities = self.head.probabilities(self.runtime.run(expected[np.newaxis]))[0]
        scores = dict(Classifier(path).classify_one(image).ranked)
        np.testing.assert_allclose([scores[x] for x in "abc"], probabilities, atol=1e-4)
        self.assertEqual(expected[0, 0, 0], 0 if version == 1 else 255)

    def test_one_image_has_the_same_result_alone(self):
        classifier = Classifier(self.graph)
        for source in (self.images[0], self.images[1].read_bytes(), b"text"):
            (expected,) = classifier.classify([source])
            self.assertEqual(classifier.classify_one(source), expected)

    def test_scores_match_those_of_a_session(self):
        quick, session = Classifier(self.graph), Classifier(self.graph, overrides=_BY_SESSION)
        answers = zip(quick.classify(self.images), session.classify(self.images), strict=True)
        for one, other in answers:
            other_scores = dict(other.ranked)
            for label, score in one.ranked:
                self.assertAlmostEqual(score, other_scores[label], delta=1e-4)

    @parameterized.parameters(*tflite.INPUT_TYPES)
    def test_tflite_files_match_the_graph(self, kind):
        graph, file = Classifier(self.graph), Classifier(self.folder / f"{kind}.tflite")
        answers = zip(graph.classify(self.images), file.classify(self.images), strict=True)
        for one, other in answers:
            expected, found = dict(one.ranked), dict(other.ranked)
            self.assertEqual(list(expected), list(found))
            np.testing.assert_allclose(
                list(expected.values()), list(found.values()), rtol=0, atol=1e-4
            )

    @parameterized.parameters("graph.pb", "uint8.tflite", "float32.tflite")
    def test_the_program_does_not_load_tensorflow(self, file):
        program = programs.command("label_image", f"--graph={self.folder / file}", self.images[0])
        done = subprocess.run(
            [program[0], "-c", _RUN_AND_LIST_TENSORFLOW, *program[1:]],
            capture_output=True,
            text=True,
            env=programs.environment(),
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("(score = ", done.stdout)
        self.assertEndsWith(done.stdout, "\ntensorflow: []\n")

    @parameterized.parameters("backbone", "head")
    def test_changes_to_a_graph_are_respected(self, part):
        graph = parse_graph(self.graph.read_bytes())
        constants = [n for n in graph.node if n.op == "Const" and len(_content(n)) > 1000]
        inside = [n for n in constants if n.name.startswith("final_") == (part == "head")]
        tensor = inside[-1].attr["value"].tensor
        numbers = np.frombuffer(tensor.tensor_content, np.float32)
        tensor.tensor_content = (numbers[::-1] * 0.5).astype(np.float32).tobytes()
        changed = self.folder / "changed.pb"
        changed.write_bytes(graph.SerializeToString())
        before, after, session = (
            dict(Classifier(path, overrides=overrides).classify_one(self.images[0]).ranked)
            for path, overrides in (
                (self.graph, Overrides()),
                (changed, Overrides()),
                (changed, _BY_SESSION),
            )
        )
        self.assertGreater(max(abs(before[label] - after[label]) for label in "abc"), 0.01)
        for label, score in session.items():
            self.assertAlmostEqual(after[label], score, delta=1e-4)

    def test_the_graph_can_decode_by_itself(self):
        by_graph = Classifier(self.graph, overrides=Overrides(input_layer="DecodeJpeg/contents"))
        ours, theirs = (
            list(c.classify([*self.images[:5], b"GIF89a"]))
            for c in (Classifier(self.graph), by_graph)
        )
        for one, other in zip(ours[:5], theirs[:5], strict=True):
            self.assertEqual([x[0] for x in one.ranked], [x[0] for x in other.ranked])
        self.assertIsInstance(theirs[5], UnreadableImage)

    @parameterized.parameters("mean", "std", "height", "width")
    def test_settings_for_pixels_are_refused_if_the_graph_decodes_by_itself(self, name):
        overrides = Overrides(input_layer="DecodeJpeg/contents", **{name: 100})
        with self.assertRaisesRegex(
            UserError, f"^--input_{name}=100 is for networks that take pixels, but {self.graph} "
        ):
            Classifier(self.graph, overrides=overrides)

    @parameterized.parameters("", "DecodeJpeg/contents")
    def test_images_that_exceed_the_budget_are_unreadable(self, input_layer):
        data = self.images[0].read_bytes()
        for limits, reason in (
            (ImageLimits(pixels=10), "pixels, more than the maximum of 10"),
            (ImageLimits(file_bytes=len(data) - 1), f"it has {len(data):,} bytes, more than"),
        ):
            overrides = Overrides(input_layer=input_layer or None)
            classifier = Classifier(self.graph, overrides=overrides, limits=limits)
            for source in (self.images[0], data):
                answer = classifier.classify_one(source)
                self.assertIsInstance(answer, UnreadableImage)
                self.assertIn(reason, answer.reason)

    def test_a_labels_file_overrides_the_labels_of_the_graph(self):
        labels = self.folder / "labels.txt"
        labels.write_text("x\ny\nz\n")
        (answer,) = Classifier(self.graph, overrides=Overrides(labels_file=labels)).classify(
            self.images[:1]
        )
        self.assertCountEqual([label for label, _ in answer.ranked], list("xyz"))

    def test_the_message_about_another_size_names_the_flags(self):
        classifier = Classifier(self.graph, overrides=Overrides(height=100))
        with self.assertRaisesRegex(UserError, "100 x 224.*--input_height"):
            list(classifier.classify(self.images[:1]))

    def test_unusable_layers_are_refused(self):
        for flag in ("input_layer", "output_layer"):
            with self.assertRaisesRegex(UserError, f"--{flag}=nowhere is not in the graph"):
                Classifier(self.graph, overrides=Overrides(**{flag: "nowhere"}))
        with self.assertRaisesRegex(UserError, "--input_layer=DecodeJpeg:0 takes uint8"):
            Classifier(self.graph, overrides=Overrides(input_layer="DecodeJpeg:0"))

    def test_a_tflite_file_without_labels_needs_a_labels_file(self):
        path, labels = self.folder / "identity.tflite", self.folder / "channels.txt"
        path.write_bytes(tflite_models.identity((1, 1, 1, 3)))
        labels.write_text("red\ngreen\nblue\n")
        image = self.folder / "colour.png"
        Image.new("RGB", (5, 5), (51, 255, 102)).save(image)
        classifier = Classifier(path, overrides=Overrides(labels_file=labels))
        expected = [("green", 1.0), ("blue", 0.4), ("red", 0.2)]
        for (label, score), pair in zip(
            classifier.classify_one(image).ranked, expected, strict=True
        ):
            self.assertEqual(label, pair[0])
            self.assertAlmostEqual(score, pair[1], places=6)
        with self.assertRaisesRegex(UserError, f"^--labels is needed: the graph {path} "):
            Classifier(path)
        with self.assertRaisesRegex(UserError, "9 x 1 pixels.*--input_height"):
            Classifier(path, overrides=Overrides(labels_file=labels, height=9)).classify_one(image)


class OtherNetworksTest(parameterized.TestCase):
    """Networks of other programs, which can compute anything."""

    def classify(self, scores: np.ndarray) -> list[Prediction | UnreadableImage]:
        description = Description(("a", "b", "c"), 8, 8)
        runtime = FunctionRuntime(
            lambda images: Outputs(scores), description=description, batch_size=2
        )
        return _classify(runtime, 2)

    def test_scores_are_ranked(self):
        first, second = self.classify(np.array([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]], np.float32))
        self.assertEqual([label for label, _ in first.ranked], ["c", "b", "a"])
        self.assertEqual([label for label, _ in second.ranked], ["a", "b", "c"])

    @parameterized.parameters(
        (None, [True, False, False]), (0.5, [True, True, False]), (0.0, [False] * 3)
    )
    def test_images_with_a_low_familiarity_are_unknown(
        self, unknown_below: float | None, expected: list[bool]
    ):
        runtime = _FamiliarityRuntime(0.001, 0.05, 0.5)
        predictions = _classify(runtime, 3, unknown_below=unknown_below)
        self.assertEqual([prediction.is_unknown for prediction in predictions], expected)
        for prediction, familiarity in zip(predictions, (0.001, 0.05, 0.5), strict=True):
            self.assertAlmostEqual(prediction.familiarity, familiarity, places=6)

    def test_a_file_that_the_network_decodes_can_be_unknown(self):
        runtime = _FamiliarityRuntime(0.001)
        runtime.takes_pixels = False
        (prediction,) = _classify(runtime, 1)
        self.assertTrue(prediction.is_unknown)

    def test_a_familiarity_that_is_not_a_number_concerns_one_image(self):
        first, second = _classify(_FamiliarityRuntime(np.nan, 1), 2)
        self.assertIsInstance(first, UnreadableImage)
        self.assertFalse(second.is_unknown)

    def test_a_threshold_needs_a_classifier_with_familiarity(self):
        runtime = FunctionRuntime(
            lambda images: Outputs(np.full((len(images), 3), 1 / 3, np.float32)),
            description=Description(("a", "b", "c"), 8, 8),
        )
        for accepted in (None, 0.0):
            (prediction,) = _classify(runtime, 1, unknown_below=accepted)
            self.assertEqual((prediction.familiarity, prediction.is_unknown), (None, False))
        with self.assertRaisesRegex(UserError, "^--unknown_below=0.1 needs .*, but graph.pb does"):
            _classify(runtime, 1, unknown_below=0.1)

    @parameterized.parameters(
        ((2, 3), np.int32),
        ((2, 3), bool),
        ((2, 3), object),
        ((2, 1, 3), np.float32),
        ((1, 3), np.float32),
        ((3,), np.float32),
        ((), np.float32),
    )
    def test_outputs_that_are_not_scores_are_refused(self, shape: tuple[int, ...], dtype: type):
        with self.assertRaisesRegex(UserError, "the graph computes .* instead of floating-point"):
            self.classify(np.zeros(shape, dtype))

    def test_another_number_of_scores_than_labels_is_refused(self):
        with self.assertRaisesRegex(UserError, "has 4 outputs, but there are 3 labels"):
            self.classify(np.zeros((2, 4), np.float32))

    def test_scores_that_are_not_finite_concern_one_image(self):
        first, second = self.classify(np.array([[0, np.nan, 0], [1, 0, 0]], np.float32))
        self.assertIsInstance(first, UnreadableImage)
        self.assertIn("not finite numbers", first.reason)
        self.assertIsInstance(second, Prediction)


if __name__ == "__main__":
    absltest.main()
