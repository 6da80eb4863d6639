"""Files compute the same scores for images as the original classifier, or are not written."""

from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from label_image.classifier import Classifier
from retrain.errors import UserError
from retrain.export import coreml
from retrain.export.coreml_reference import model as reference
from retrain.output_options import CoreMLOptions
from retrain.system.outputs.staging import Staging
from tests.support import sample_classifier, small_keras, tflite_models
from tools.conversion import writers
from tools.conversion.converted_classifier import ConvertedClassifier
from tools.conversion.preprocessing import InputFormat
from tools.conversion.source import SourceClassifier

_INPUT_FORMATS = {
    "RGB": InputFormat("RGB", (127.0,) * 3, (128.0,) * 3),
    "BGR": InputFormat("BGR", (103.939, 116.779, 123.68), (60.0,) * 3),
    "GRAYSCALE": InputFormat("GRAYSCALE", (120.0,), (60.0,)),
}


def _classifier(channel_order="RGB", *, add_softmax=False, **fields):
    """Returns a small classifier. `fields` replaces fields of its source."""
    input_format = _INPUT_FORMATS[channel_order]
    channels = len(input_format.mean)
    model = small_keras.build_model(channels, activation=None if add_softmax else "softmax")
    source = {
        "scores": lambda pixels: model(pixels, training=False),
        "height": small_keras.SIDE,
        "width": small_keras.SIDE,
        "channels": channels,
        "keras_model": model,
    }
    return ConvertedClassifier(
        source=SourceClassifier(**{**source, **fields}),
        labels=small_keras.LABELS,
        input_format=input_format,
        add_softmax=add_softmax,
    )


def _expected(classifier, image):
    """Returns the scores of the network for an image that is normalised by hand."""
    input_format = classifier.input_format
    channels = {
        "RGB": image,
        "BGR": image[..., ::-1],
        "GRAYSCALE": np.asarray(Image.fromarray(image).convert("L"))[..., np.newaxis],
    }[input_format.channel_order]
    pixels = (channels - np.float32(input_format.mean)) / np.float32(input_format.std)
    return np.asarray(classifier.source.scores(pixels[np.newaxis].astype(np.float32)))[0]


class WritersTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        rng = np.random.default_rng(0)
        self.image = rng.integers(0, 256, (16, 16, 3), np.uint8)

    def write(self, write, path, *arguments):
        with Staging() as staging:
            message = write(staging, path, *arguments)
        self.assertStartsWith(message, f"Wrote {path}")


class FormatsTest(WritersTestCase):
    @parameterized.product(order=tuple(_INPUT_FORMATS), name=("x.mlpackage", "x.mlmodel"))
    def test_coreml(self, order, name):
        classifier = _classifier(order)
        path = self.folder / name
        options = CoreMLOptions(precision="float32", author="Ada", description="Three colours.")
        self.write(writers.write_coreml, path, classifier, options)
        self.assertEqual([p.name for p in self.folder.iterdir()], [name])
        (scores,) = coreml.load(path).run(self.image[np.newaxis])
        np.testing.assert_allclose(scores, _expected(classifier, self.image), atol=1e-5)
        loaded = reference.load(path)
        self.assertEqual(loaded.labels, small_keras.LABELS)
        self.assertEqual(loaded.spec.description.metadata.author, "Ada")
        self.assertEqual(loaded.spec.description.metadata.shortDescription, "Three colours.")

    @parameterized.product(order=("RGB", "BGR"), quantization=("none", "float16", "dynamic"))
    def test_label_image_reads_tflite_files(self, order, quantization):
        classifier = _classifier(order)
        path = self.folder / "x.tflite"
        self.write(writers.write_tflite, path, classifier, quantization)
        metadata = tflite_models.read_metadata(path.read_bytes())
        self.assertEqual(metadata.labels, small_keras.LABELS)
        file = sample_classifier.save(self.folder, self.image, "image.png", size=(16, 16))
        scores = dict(Classifier(path).classify_one(file).ranked)
        actual = [scores[label] for label in small_keras.LABELS]
        tolerance = 1e-5 if quantization == "none" else 2e-2
        np.testing.assert_allclose(actual, _expected(classifier, self.image), atol=tolerance)

    @parameterized.parameters("none", "float16", "dynamic")
    def test_tflite_for_grey_images(self, quantization):
        classifier = _classifier("GRAYSCALE")
        path = self.folder / "x.tflite"
        self.write(writers.write_tflite, path, classifier, quantization)
        from retrain.runtimes.litert import LiteRTModel

        model = LiteRTModel(path.read_bytes())
        self.assertEqual((model.input.shape, model.input.dtype), ((1, 16, 16, 1), np.uint8))
        (scores,) = model.run(classifier.as_input(self.image[np.newaxis]))
        tolerance = 1e-5 if quantization == "none" else 2e-2
        np.testing.assert_allclose(scores, _expected(classifier, self.image), atol=tolerance)

    @parameterized.parameters(*_INPUT_FORMATS)
    def test_saved_model(self, order):
        import tensorflow as tf

        classifier = _classifier(order)
        path = self.folder / "saved"
        self.write(writers.write_saved_model, path, classifier)
        run = tf.saved_model.load(str(path)).signatures["serving_default"]
        images = classifier.as_input(np.stack([self.image] * 3))
        scores = run(image=tf.constant(images))["probabilities"]
        np.testing.assert_allclose(scores[2], _expected(classifier, self.image), atol=1e-5)
        labels = (path / "assets" / "labels.txt").read_text().splitlines()
        self.assertEqual(tuple(labels), small_keras.LABELS)

    def test_keras(self):
        from tensorflow import keras

        classifier = _classifier()
        path = self.folder / "x.keras"
        self.write(writers.write_keras, path, classifier)
        pixels = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
        loaded = keras.models.load_model(path)
        expected = classifier.source.keras_model(pixels)
        np.testing.assert_allclose(loaded(pixels), expected, atol=1e-6)

    def test_a_softmax_can_be_added(self):
        classifier = _classifier(add_softmax=True)
        path = self.folder / "x.mlmodel"
        self.write(writers.write_coreml, path, classifier, CoreMLOptions(precision="float32"))
        logits = _expected(classifier, self.image)
        expected = np.exp(logits) / np.exp(logits).sum()
        (scores,) = coreml.load(path).run(self.image[np.newaxis])
        np.testing.assert_allclose(scores, expected, atol=1e-5)


class RefusedTest(WritersTestCase):
    def write_named(self, name, classifier):
        """Writes a file or folder of the format that the name ends in."""
        path = self.folder / name
        if path.suffix == ".tflite":
            self.write(writers.write_tflite, path, classifier, "none")
        elif path.suffix in (".mlmodel", ".mlpackage"):
            self.write(writers.write_coreml, path, classifier, CoreMLOptions())
        else:
            self.write(writers.write_saved_model, path, classifier)

    def test_a_graph_has_no_layers_for_keras(self):
        with self.assertRaisesRegex(UserError, "--keras_file=.*no layers.*--saved_model_dir"):
            self.write(writers.write_keras, self.folder / "x.keras", _classifier(keras_model=None))
        self.assertEmpty(list(self.folder.iterdir()))

    def test_a_model_that_cannot_be_checked_is_written_with_a_warning(self):
        import tensorflow as tf

        classifier = _classifier(
            scores=lambda pixels: tf.nn.softmax(tf.math.erf(tf.reduce_mean(pixels, [1, 2])))
        )
        with self.assertLogs(level="WARNING") as logged:
            self.write_named("x.mlmodel", classifier)
        self.assertIn("without checking its scores", logged.output[0])
        self.assertIn("erf", logged.output[0])
        self.assertTrue((self.folder / "x.mlmodel").is_file())

    @parameterized.parameters("x.mlmodel", "x.mlpackage", "x.tflite")
    def test_unsupported_operations_are_named_and_nothing_is_written(self, name):
        import tensorflow as tf

        classifier = _classifier(
            scores=lambda pixels: tf.nn.softmax(
                tf.raw_ops.Ndtri(x=tf.sigmoid(tf.reduce_mean(pixels, [1, 2])))
            )
        )
        with self.assertRaisesRegex(UserError, "Ndtri") as caught:
            self.write_named(name, classifier)
        self.assertNotIn("\n", str(caught.exception))
        self.assertEmpty(list(self.folder.iterdir()))

    @parameterized.parameters("x.mlmodel", "x.mlpackage", "x.tflite", "saved")
    def test_different_scores_are_an_error_and_nothing_is_written(self, name):
        wrong = _classifier().expected_scores + 0.1
        with (
            mock.patch.object(ConvertedClassifier, "expected_scores", wrong),
            self.assertRaisesRegex(writers.ScoreMismatchError, f"{name} would differ by 0.1"),
        ):
            self.write_named(name, _classifier())
        self.assertEmpty(list(self.folder.iterdir()))


if __name__ == "__main__":
    absltest.main()
