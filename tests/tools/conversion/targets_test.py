"""What is written answers as what was converted does, from images on, or is not written."""

import dataclasses
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from label_image.classifier import Classifier
from retrain.config import CoreMLOptions
from retrain.errors import UserError
from retrain.export import coreml
from retrain.export.coreml_reference import model as reference
from tests.support import sample_classifier, small_keras, tflite_models
from tools.conversion import classifier, targets
from tools.conversion.classifier import Complete
from tools.conversion.source import Pixels, Source

_PIXELS = {
    "RGB": Pixels("RGB", (127.0,) * 3, (128.0,) * 3),
    "BGR": Pixels("BGR", (103.939, 116.779, 123.68), (60.0,) * 3),
    "GRAYSCALE": Pixels("GRAYSCALE", (120.0,), (60.0,)),
}


def _complete(colours="RGB", softmax=False, labels=small_keras.LABELS, **changes):
    pixels = _PIXELS[colours]
    channels = len(pixels.mean)
    model = small_keras.build_model(channels, activation=None if softmax else "softmax")
    scores = changes.get("scores", lambda image: model(image, training=False))
    source = Source(scores, 16, 16, channels, keras=changes.get("keras", model))
    return Complete(source, labels, pixels, softmax)


def _expected(complete, image):
    """Returns the answer for an image, worked out by hand from what pixels mean."""
    from PIL import Image

    pixels = complete.pixels
    planes = {
        "RGB": image,
        "BGR": image[..., ::-1],
        "GRAYSCALE": np.asarray(Image.fromarray(image).convert("L"))[..., np.newaxis],
    }[pixels.colours]
    normalised = (planes - np.float32(pixels.mean)) / np.float32(pixels.std)
    return np.asarray(complete.source.scores(normalised[np.newaxis].astype(np.float32)))[0]


class TargetsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        rng = np.random.default_rng(0)
        self.image = rng.integers(0, 256, (16, 16, 3), np.uint8)

    @parameterized.product(colours=tuple(_PIXELS), name=("x.mlpackage", "x.mlmodel"))
    def test_coreml(self, colours, name):
        complete = _complete(colours)
        path = self.folder / name
        options = CoreMLOptions(precision="float32", author="Ada", description="Three colours.")
        targets.write_coreml(path, complete, options)
        self.assertEqual([p.name for p in self.folder.iterdir()], [name])
        (answer,) = coreml.load(path).run(self.image[np.newaxis])
        np.testing.assert_allclose(answer, _expected(complete, self.image), atol=1e-5)
        loaded = reference.load(path)
        self.assertEqual(loaded.labels, small_keras.LABELS)
        self.assertEqual(loaded.spec.description.metadata.author, "Ada")
        self.assertEqual(loaded.spec.description.metadata.shortDescription, "Three colours.")

    @parameterized.product(colours=("RGB", "BGR"), quantization=("none", "float16", "dynamic"))
    def test_tflite_for_label_image(self, colours, quantization):
        complete = _complete(colours)
        path = self.folder / "x.tflite"
        targets.write_tflite(path, complete, quantization)
        metadata = tflite_models.read_metadata(path.read_bytes())
        self.assertEqual(metadata.labels, small_keras.LABELS)
        file = sample_classifier.save(self.folder, self.image, "picture.png", size=(16, 16))
        prediction = Classifier(path).classify_one(file)
        scores = dict(prediction.ranked)
        answer = [scores[label] for label in small_keras.LABELS]
        tolerance = 1e-5 if quantization == "none" else 2e-2
        np.testing.assert_allclose(answer, _expected(complete, self.image), atol=tolerance)

    @parameterized.parameters(*_PIXELS)
    def test_saved_model(self, colours):
        import tensorflow as tf

        complete = _complete(colours)
        path = self.folder / "saved"
        targets.write_saved_model(path, complete)
        run = tf.saved_model.load(str(path)).signatures["serving_default"]
        shown = np.concatenate(complete.shown(np.stack([self.image] * 3)))
        answers = run(image=tf.constant(shown))["probabilities"]
        np.testing.assert_allclose(answers[2], _expected(complete, self.image), atol=1e-5)
        labels = (path / "assets" / "labels.txt").read_text().splitlines()
        self.assertEqual(tuple(labels), small_keras.LABELS)

    def test_keras(self):
        from tensorflow import keras

        complete = _complete()
        path = self.folder / "x.keras"
        targets.write_keras(path, complete)
        images = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
        loaded = keras.models.load_model(path)
        np.testing.assert_allclose(loaded(images), complete.source.keras(images), atol=1e-6)

    def test_a_graph_has_no_layers_for_keras(self):
        with self.assertRaisesRegex(UserError, "--keras_file=.*no layers.*--saved_model_dir"):
            targets.write_keras(self.folder / "x.keras", _complete(keras=None))

    def test_a_softmax_can_be_added(self):
        complete = _complete(softmax=True)
        path = self.folder / "x.mlmodel"
        targets.write_coreml(path, complete, CoreMLOptions(precision="float32"))
        logits = _expected(complete, self.image)
        expected = np.exp(logits) / np.exp(logits).sum()
        (answer,) = coreml.load(path).run(self.image[np.newaxis])
        np.testing.assert_allclose(answer, expected, atol=1e-5)

    def test_what_was_not_tried_is_said(self):
        import tensorflow as tf

        complete = _complete(
            scores=lambda image: tf.nn.softmax(tf.math.erf(tf.reduce_mean(image, [1, 2])))
        )
        with self.assertLogs(level="WARNING") as logged:
            targets.write_coreml(self.folder / "x.mlmodel", complete, CoreMLOptions())
        self.assertIn("was not tried", logged.output[0])
        self.assertIn("erf", logged.output[0])

    @parameterized.parameters("x.mlmodel", "x.mlpackage", "x.tflite")
    def test_operations_that_are_not_there_are_named_and_nothing_is_written(self, name):
        import tensorflow as tf

        complete = _complete(
            scores=lambda image: tf.nn.softmax(
                tf.raw_ops.Ndtri(x=tf.sigmoid(tf.reduce_mean(image, [1, 2])))
            )
        )
        path = self.folder / name
        with self.assertRaisesRegex(UserError, "Ndtri") as caught:
            if path.suffix == ".tflite":
                targets.write_tflite(path, complete, "none")
            else:
                targets.write_coreml(path, complete, CoreMLOptions())
        self.assertNotIn("\n", str(caught.exception))
        self.assertEmpty(list(self.folder.iterdir()))


class CheckTest(absltest.TestCase):
    def test_probabilities(self):
        with self.assertNoLogs(level="WARNING"):
            _complete().check()

    def test_other_scores(self):
        complete = _complete(scores=lambda image: 5 * image[:, 0, 0])
        with self.assertLogs(level="WARNING") as logged:
            complete.check()
        self.assertIn("--add_softmax", logged.output[0])

    def test_another_number_of_labels(self):
        with self.assertRaisesRegex(UserError, "has 3 outputs, but there are 2 labels"):
            _complete(labels=("a", "b")).check()

    def test_no_classifier(self):
        with self.assertRaisesRegex(UserError, r"not a classifier.*\[1, 16, 16, 3\]"):
            _complete(scores=lambda image: image).check()


class LabelsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.file = Path(self.create_tempdir().full_path) / "labels.txt"

    def test_a_file(self):
        self.file.write_text("grün\nblue sky\n", "utf-8")
        found = classifier.labels(_complete().source, self.file, ())
        self.assertEqual(found, ("grün", "blue sky"))

    def test_a_flag(self):
        self.assertEqual(classifier.labels(_complete().source, None, ("a", "b")), ("a", "b"))

    def test_those_that_came_with_it(self):
        metadata = sample_classifier.classifier().metadata
        source = dataclasses.replace(_complete().source, metadata=metadata)
        self.assertEqual(classifier.labels(source, None, ()), sample_classifier.LABELS)
        self.assertEqual(classifier.labels(source, None, ("a",)), ("a",))

    @parameterized.parameters(
        (None, "cannot be read: No such file"), (b"", "is empty"), (b"\xff\xfe", "in UTF-8")
    )
    def test_refused(self, content, expected):
        if content is not None:
            self.file.write_bytes(content)
        with self.assertRaisesRegex(UserError, f"--labels=.*{expected}"):
            classifier.labels(_complete().source, self.file, ())

    def test_none_or_twice(self):
        with self.assertRaisesRegex(UserError, "--labels is needed"):
            classifier.labels(_complete().source, None, ())
        with self.assertRaisesRegex(UserError, "the one or the other"):
            classifier.labels(_complete().source, self.file, ("a",))


if __name__ == "__main__":
    absltest.main()
