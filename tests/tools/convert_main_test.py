"""//tools:convert writes the files that its flags name, and its errors are one line."""

import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.export import coreml, frozen_graph
from retrain.export.coreml_reference import model as reference
from retrain.metadata import COREML_FIELD, from_json
from tests.support import programs, sample_classifier, small_keras


def _limit_file_size(size: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


class ConvertTestCase(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)

    def run_convert(self, *flags):
        return programs.run("convert", *flags)

    def assert_done(self, *flags):
        done = self.run_convert(*flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "")
        return done.stderr.splitlines()

    def assert_files_logged(self, lines, count):
        self.assertLen(lines, count, lines)
        for line in lines:
            self.assertStartsWith(line, "Wrote ")


class RetrainGraphTest(ConvertTestCase):
    def test_a_disk_that_becomes_full_leaves_the_old_files_of_all_formats(self):
        folder = self.folder / "full"
        folder.mkdir()
        graph, small, large = folder / "g.pb", folder / "x.tflite", folder / "X.mlpackage"
        graph.write_bytes(frozen_graph.to_bytes(sample_classifier.classifier()))
        small.write_text("old")
        # The kernel lets no file grow beyond this limit, as on a full disk.
        limit = 10_000_000
        done = programs.run(
            "convert",
            f"--graph={graph}",
            f"--tflite_file={small}",
            "--tflite_quantization=float16",
            f"--coreml_file={large}",
            "--coreml_precision=float32",
            preexec_fn=lambda: _limit_file_size(limit),
        )
        self.assertEqual(done.returncode, 1, done.stderr)
        # The file or the folder for temporary files, which coremltools uses as well.
        full = "(File too large|.*No space left on device; free some space, or .*)"
        self.assertRegex(done.stderr, f"^Error: --coreml_file={large} cannot be written: {full}\n$")
        self.assertEqual(small.read_text(), "old")
        self.assertCountEqual(folder.iterdir(), [graph, small])

    def test_a_graph_of_retrain_needs_no_other_flags(self):
        classifier = sample_classifier.classifier()
        graph = self.folder / "graph.pb"
        graph.write_bytes(frozen_graph.to_bytes(classifier))
        blocks = self.folder / "blocks.mlmodel"
        lines = self.assert_done(
            f"--graph={graph}",
            f"--coreml_file={blocks}",
            "--coreml_author=Ada",
            "--coreml_license=MIT",
            "--coreml_precision=float32",
            "--coreml_input=photo",
            f"--tflite_file={self.folder}/x.tflite",
        )
        self.assertLen(lines, 2)
        for line in lines:
            (difference,) = re.findall(r"^Wrote .*differ by at most (\S+) from", line)
            self.assertLess(float(difference), 1e-5)
        loaded = reference.load(blocks)
        description = loaded.spec.description
        self.assertEqual(loaded.labels, sample_classifier.LABELS)
        self.assertEqual(
            (description.metadata.author, description.metadata.license), ("Ada", "MIT")
        )
        self.assertEqual(description.input[0].name, "photo")
        metadata = from_json(description.metadata.userDefined[COREML_FIELD])
        self.assertEqual(metadata, classifier.metadata)
        image = sample_classifier.images(1)
        expected = classifier.head.probabilities(sample_classifier.features(image))
        np.testing.assert_allclose(loaded(image), expected, atol=1e-5)
        file = sample_classifier.save(self.folder, image[0], "image.png")
        labelled = programs.run("label_image", f"--graph={self.folder}/x.tflite", file)
        best = sample_classifier.LABELS[expected.argmax()]
        self.assertStartsWith(labelled.stdout, f"{best} (score = {expected.max():.5f}"[:-2])


class Keras2Test(ConvertTestCase):
    def test_the_normalisation_can_be_described_as_in_caffe(self):
        model = small_keras.build_model()
        path, weights = small_keras.write_keras_2(self.folder, model)
        package = self.folder / "Colours.mlpackage"
        lines = self.assert_done(
            *(f"--graph={path}", f"--weights={weights}", "--class_labels=red,green,blue"),
            *("--is_bgr", "--image_scale=0.01"),
            *("--red_bias=-1.2368", "--green_bias=-1.16779", "--blue_bias=-1.03939"),
            *(f"--coreml_file={package}", "--coreml_precision=float32"),
            f"--keras_file={self.folder}/today.keras",
        )
        self.assert_files_logged(lines, 2)
        image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8)
        bgr = image[..., ::-1] * 0.01 - np.array([1.03939, 1.16779, 1.2368])
        (answer,) = coreml.load(package).run(image)
        np.testing.assert_allclose(answer, np.asarray(model(bgr))[0], atol=1e-5)
        self.assertTrue((self.folder / "today.keras").is_file())


class QuietTest(ConvertTestCase):
    def test_messages_of_tensorflow_are_not_shown(self):
        model = small_keras.build_model()
        model.save(self.folder / "small.keras")
        model.export(str(self.folder / "small"), verbose=False)
        for source in ("small.keras", "small"):
            lines = self.assert_done(
                *(f"--graph={self.folder / source}", "--class_labels=r,g,b", "--input_std=255"),
                *(f"--tflite_file={self.folder}/x.tflite", f"--saved_model_dir={self.folder}/x"),
            )
            self.assert_files_logged(lines, 2)


class BinaryTest(ConvertTestCase):
    def test_all_formats_of_a_network_with_one_sigmoid_have_two_scores(self):
        from tensorflow import keras

        network = small_keras.build_model()
        layers = [keras.layers.RandomFlip(), network, keras.layers.Dense(1, activation="sigmoid")]
        model = keras.Sequential([keras.Input(network.input_shape[1:]), *layers])
        model.export(str(self.folder / "binary"), verbose=False)
        lines = self.assert_done(
            *(f"--graph={self.folder}/binary", "--class_labels=cat,dog", "--input_std=255"),
            *(f"--tflite_file={self.folder}/x.tflite", f"--saved_model_dir={self.folder}/x"),
            f"--coreml_file={self.folder}/x.mlpackage",
        )
        self.assertRegex(lines[0], "^Left out layers that only training needs: random_flip")
        self.assertRegex(lines[1], "^The only output .* the second label, dog")
        self.assert_files_logged(lines[2:], 3)
        image = sample_classifier.images(1)[0]
        file = sample_classifier.save(self.folder, image, "image.png")
        labelled = programs.run("label_image", f"--graph={self.folder}/x.tflite", file)
        self.assertRegex(labelled.stdout, r"(dog|cat) \(score = .*\n(dog|cat) \(score = ")


class RefusedTest(ConvertTestCase):
    def assert_refused(self, expected, *flags):
        done = self.run_convert(*flags)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, f"^Error: .*{expected}")
        self.assertLen(done.stderr.splitlines(), 1, done.stderr)

    def setUp(self):
        super().setUp()
        self.output = f"--coreml_file={self.folder}/refused.mlmodel"

    def tearDown(self):
        super().tearDown()
        self.assertFalse(list(self.folder.glob("*refused*")))

    @parameterized.parameters(
        ("there is nothing to write; set --coreml_file", ()),
        ("unexpected argument image.jpg: only flags are accepted", ("image.jpg",)),
        ("--coreml_file=.* must end in", ("--coreml_file=x.onnx",)),
        (
            "--graph=.*/x would be replaced by --tflite_file=.*/x; choose another path",
            ("--graph=./x", "--tflite_file=x"),
        ),
        (
            "--weights=.*/x/w would be replaced by --saved_model_dir=",
            ("--weights=x/w", "--saved_model_dir=x"),
        ),
        (
            "--tflite_file=.* would be replaced by --saved_model_dir=",
            ("--saved_model_dir=x", "--tflite_file=x/y"),
        ),
        ("--coreml_input=a b", ("--coreml_file=x.mlmodel", "--coreml_input=a b")),
        (
            "--tflite_quantization=int8 needs images",
            ("--tflite_file=x", "--tflite_quantization=int8"),
        ),
        (
            "--tflite_quantization=float16 needs --tf",
            ("--keras_file=x.keras", "--tflite_quantization=float16"),
        ),
        ("--coreml_author=me needs --coreml_file", ("--keras_file=x.keras", "--coreml_author=me")),
        ("--tflite_quantization=int2", ("--tflite_file=x", "--tflite_quantization=int2")),
        ("--input_mean=1,x,3 must be one number", ("--tflite_file=x", "--input_mean=1,x,3")),
        ("--keras_file=.*x.h5 must end in .keras", ("--keras_file=x.h5",)),
        ("--saved_model_dir=/proc/x", ("--saved_model_dir=/proc/x",)),
    )
    def test_flags_are_checked_before_anything_is_loaded(self, expected, flags):
        self.assert_refused(expected, *flags)

    def test_a_missing_file_is_refused(self):
        self.assert_refused("--graph=.*nowhere.* does not exist", "--graph=nowhere", self.output)

    def test_a_file_of_another_format_is_refused(self):
        path = self.folder / "anything.pb"
        formats = r"a frozen graph \(.pb\), the folder of a SavedModel, or a Keras file"
        for content, problem in (
            (b"\x1c\0\0\0TFL3 and so on", "a TFLite file, which cannot be converted"),
            (b"no graph at all", "not a frozen graph: it has another format"),
        ):
            path.write_bytes(content)
            self.assert_refused(
                f"--graph={path} is {problem}; .*{formats}", f"--graph={path}", self.output
            )

    def test_a_core_ml_model_is_refused(self):
        path = self.folder / "Model.mlpackage"
        path.mkdir()
        refusal = f"--graph={path} is a Core ML model, which cannot be converted; give the file"
        self.assert_refused(refusal, f"--graph={path}", self.output)

    def test_a_folder_with_other_files_is_refused(self):
        folder = self.folder / "thesis"
        folder.mkdir()
        (folder / "chapter.txt").touch()
        self.assert_refused("chapter.txt, which would be deleted", f"--saved_model_dir={folder}")

    def test_a_wrong_number_of_labels_is_refused(self):
        labels = self.folder / "labels.txt"
        labels.write_text("a\nb\n")
        model = self.folder / "small.keras"
        small_keras.build_model().save(model)
        flags = (f"--graph={model}", "--input_std=255", f"--labels={labels}")
        self.assert_refused("has 3 outputs, but there are 2 labels", *flags, self.output)


if __name__ == "__main__":
    absltest.main()
