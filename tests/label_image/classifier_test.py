"""The one interface answers for every kind of image and graph."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from label_image.classifier import Classifier, Overrides, Prediction, UnreadableImage
from label_image.formatting import as_json, as_text
from retrain import metadata
from retrain.backbones import efficientnet_lite0, engines
from retrain.config import TFLiteOptions
from retrain.data import pixels
from retrain.errors import UserError
from retrain.export import assemble, frozen_graph, tflite
from retrain.runtimes.graph_def import parse_graph
from retrain.runtimes.head import Head
from tests.support import programs

# Naming a tensor, if only the usual one, is left to TensorFlow.
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


class ClassifierTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        backbone = efficientnet_lite0.load()
        rng = np.random.default_rng(0)
        cls.head = Head(rng.normal(0, 0.3, (1280, 3)).astype(np.float32), np.zeros(3, np.float32))
        described = metadata.Metadata(
            **dict(labels=("a", "b", "c"), folders=("a", "b", "c"), height=224, width=224),
            **dict(mean=backbone.mean, std=backbone.std, channel_order="RGB"),
            **dict(resize_method=pixels.RESIZE_METHOD, output="final_result"),
            **dict(backbone=backbone.name, fingerprint=backbone.fingerprint, split={}),
            **dict(test_accuracy=None, training={}, versions={}),
        )
        classifier = assemble.TrainedClassifier(backbone, cls.head, described)
        cls.graph = cls.folder / "graph.pb"
        cls.graph.write_bytes(frozen_graph.to_bytes(classifier))
        for kind in tflite.INPUT_TYPES:
            options = TFLiteOptions(input_type=kind)
            tflite.write(cls.folder / f"{kind}.tflite", classifier, options)
        cls.runner = engines.create(engines.FLOAT32, backbone).load()
        cls.images = []
        for number in range(40):
            path = cls.folder / f"{number}.png"
            coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
            coarse.resize((60, 70), Image.Resampling.BICUBIC).save(path)
            cls.images.append(path)

    def expected(self, path: Path) -> np.ndarray:
        decoded = pixels.decode(path.read_bytes(), 224, 224)
        return self.head.probabilities(self.runner.run(decoded[np.newaxis]))[0]

    def test_answers_come_in_order_and_are_those_of_the_head(self):
        classifier = Classifier(self.graph)
        for path, answer in zip(self.images, classifier.classify(self.images), strict=True):
            expected = self.expected(path)
            scores = dict(answer.ranked)
            self.assertEqual(answer.source, path)
            np.testing.assert_allclose([scores[x] for x in "abc"], expected, atol=1e-4)
            self.assertEqual(answer.ranked[0][0], "abc"[expected.argmax()])

    def test_bytes_paths_and_unreadable_ones_may_be_mixed(self):
        good = self.images[3]
        sources = [good, good.read_bytes(), b"", self.folder / "missing.png", good]
        answers = list(Classifier(self.graph).classify(sources))
        self.assertEqual(
            [type(a) for a in answers], [Prediction] * 2 + [UnreadableImage] * 2 + [Prediction]
        )
        self.assertEqual(answers[0].ranked, answers[1].ranked)
        self.assertEqual(answers[2].reason, "it is an empty file")
        self.assertIn("No such file", answers[3].reason)

    def test_one_image_is_answered_as_among_others(self):
        classifier = Classifier(self.graph)
        for source in (self.images[0], self.images[1].read_bytes(), b"text"):
            (expected,) = classifier.classify([source])
            self.assertEqual(classifier.classify_one(source), expected)

    def test_answers_without_tensorflow_are_those_of_tensorflow(self):
        quick, session = Classifier(self.graph), Classifier(self.graph, _BY_SESSION)
        answers = zip(quick.classify(self.images), session.classify(self.images), strict=True)
        for one, other in answers:
            other_scores = dict(other.ranked)
            for label, score in one.ranked:
                self.assertAlmostEqual(score, other_scores[label], delta=1e-4)

    @parameterized.parameters(*tflite.INPUT_TYPES)
    def test_tflite_files_answer_as_the_graph(self, kind):
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
    def test_a_graph_that_was_changed_answers_as_it_is(self, part):
        graph = parse_graph(self.graph.read_bytes())
        constants = [n for n in graph.node if n.op == "Const" and len(_content(n)) > 1000]
        inside = [n for n in constants if n.name.startswith("final_") == (part == "head")]
        tensor = inside[-1].attr["value"].tensor
        numbers = np.frombuffer(tensor.tensor_content, np.float32)
        tensor.tensor_content = (numbers[::-1] * 0.5).astype(np.float32).tobytes()
        changed = self.folder / "changed.pb"
        changed.write_bytes(graph.SerializeToString())
        before, after, session = (
            dict(Classifier(path, how).classify_one(self.images[0]).ranked)
            for path, how in (
                *((self.graph, Overrides()), (changed, Overrides())),
                *((changed, _BY_SESSION),),
            )
        )
        self.assertGreater(max(abs(before[label] - after[label]) for label in "abc"), 0.01)
        for label, score in session.items():
            self.assertAlmostEqual(after[label], score, delta=1e-4)

    def test_the_graph_can_decode_by_itself(self):
        by_graph = Classifier(self.graph, Overrides(input_layer="DecodeJpeg/contents"))
        ours, theirs = (
            list(c.classify([*self.images[:5], b"GIF89a"]))
            for c in (Classifier(self.graph), by_graph)
        )
        for one, other in zip(ours[:5], theirs[:5], strict=True):
            self.assertEqual([x[0] for x in one.ranked], [x[0] for x in other.ranked])
        self.assertIsInstance(theirs[5], UnreadableImage)

    def test_labels_of_a_file_win(self):
        labels = self.folder / "labels.txt"
        labels.write_text("x\ny\nz\n")
        (answer,) = Classifier(self.graph, Overrides(labels_file=labels)).classify(self.images[:1])
        self.assertCountEqual([label for label, _ in answer.ranked], list("xyz"))

    def test_images_of_another_size_are_refused_with_advice(self):
        classifier = Classifier(self.graph, Overrides(height=100))
        with self.assertRaisesRegex(UserError, "100 x 224.*--input_height"):
            list(classifier.classify(self.images[:1]))

    def test_layers_that_are_not_there_are_named(self):
        for flag in ("input_layer", "output_layer"):
            with self.assertRaisesRegex(UserError, f"--{flag}=nowhere is not in the graph"):
                Classifier(self.graph, Overrides(**{flag: "nowhere"}))
        with self.assertRaisesRegex(UserError, "--input_layer=DecodeJpeg:0 takes uint8"):
            Classifier(self.graph, Overrides(input_layer="DecodeJpeg:0"))

    def test_text_and_json(self):
        answer = Prediction(Path("p"), (("good\nday", 0.9), ("b", 0.1)))
        self.assertEqual(as_text(answer, 5), "good\\nday (score = 0.90000)\nb (score = 0.10000)")
        self.assertEqual(as_text(answer, 1), "good\\nday (score = 0.90000)")
        text = as_json([("p", answer), ("q", UnreadableImage(Path("q"), "why"))], 1)
        labels = [{"label": "good\nday", "score": 0.9}]
        self.assertEqual(
            json.loads(text),
            [
                {"image": "p", "labels": labels, "predictions": labels},
                {"image": "q", "error": "why"},
            ],
        )


if __name__ == "__main__":
    absltest.main()
