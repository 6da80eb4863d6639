"""TFLite files are classifiers too, whatever numbers they calculate with."""

import io
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from label_image.classifier import Classifier, Overrides
from retrain.data import pixels
from retrain.errors import UserError
from retrain.metadata import Metadata

_COLOURS = {"red": (220, 30, 40), "green": (20, 200, 50), "blue": (10, 60, 240)}
_KINDS = ("float32", "uint8", "int8")


def _network(kind: str) -> bytes:
    """Returns a network that names the strongest channel of pixels from 0 to 1."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([1, 8, 6, 3], tf.float32)])
    def strongest(pixels):
        return tf.nn.softmax(5 * tf.reduce_mean(pixels, [1, 2]))

    converter = tf.lite.TFLiteConverter.from_concrete_functions([strongest.get_concrete_function()])
    if kind != "float32":
        rng = np.random.default_rng(0)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [rng.uniform(0, 1, (1, 1, 1, 3)).astype(np.float32) * np.ones((1, 8, 6, 3), np.float32)]
            for _ in range(50)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.dtypes.as_dtype(kind)
    return converter.convert()


def _network_of_bytes() -> bytes:
    """Returns the same of pixels from 0 to 255, which are bytes, but not quantised numbers."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([1, 8, 6, 3], tf.uint8)])
    def strongest(pixels):
        return tf.nn.softmax(5 / 255 * tf.reduce_mean(tf.cast(pixels, tf.float32), [1, 2]))

    concrete = strongest.get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()


def _with_files(network: bytes, **files: str) -> bytes:
    result = io.BytesIO(network)
    with zipfile.ZipFile(result, "a") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return result.getvalue()


def _metadata(**changes):
    fields = dict(
        **dict(labels=tuple(_COLOURS), folders=tuple(_COLOURS), height=8, width=6),
        **dict(mean=(0.0,) * 3, std=(255.0,) * 3, channel_order="RGB"),
        **dict(resize_method=pixels.RESIZE_METHOD, output="probabilities", backbone="none"),
        **dict(fingerprint="", split={}, test_accuracy=None, training={}, versions={}),
    )
    return Metadata(**{**fields, **changes}).to_json()


class TFLiteTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.networks = {kind: _network(kind) for kind in _KINDS}
        for name, colour in _COLOURS.items():
            Image.new("RGB", (20, 30), colour).save(cls.folder / f"{name}.png")
        cls.labels = cls.folder / "labels.txt"
        cls.labels.write_text("".join(f"{name}\n" for name in _COLOURS))

    def classifier(self, content, **overrides):
        path = self.folder / "classifier.tflite"
        path.write_bytes(content)
        return Classifier(path, Overrides(**overrides))

    def assert_right(self, classifier):
        for name, colour in _COLOURS.items():
            exact = np.exp(5 * np.array(colour) / 255)
            expected = dict(zip(_COLOURS, exact / exact.sum(), strict=True))
            answer = classifier.classify_one(self.folder / f"{name}.png")
            self.assertEqual(answer.ranked[0][0], name)
            for label, score in answer.ranked:
                self.assertAlmostEqual(score, expected[label], delta=0.02)

    @parameterized.parameters(*_KINDS)
    def test_a_file_that_describes_itself(self, kind: str):
        network = self.networks[kind]
        self.assert_right(self.classifier(_with_files(network, retrain_metadata__json=_metadata())))

    @parameterized.parameters(*_KINDS)
    def test_a_file_with_labels_alone_takes_images_as_they_are(self, kind: str):
        content = _with_files(self.networks[kind], labels__txt="red\ngreen\nblue\n")
        self.assert_right(self.classifier(content))

    @parameterized.parameters(*_KINDS)
    def test_a_bare_network_with_labels_of_the_user(self, kind: str):
        self.assert_right(self.classifier(self.networks[kind], labels_file=self.labels))

    def test_a_network_that_takes_pixels_as_they_are(self):
        self.assert_right(self.classifier(_network_of_bytes(), labels_file=self.labels))

    def test_channels_in_another_order(self):
        metadata = _metadata(labels=("blue", "green", "red"), channel_order="BGR")
        content = _with_files(self.networks["float32"], retrain_metadata__json=metadata)
        answer = self.classifier(content).classify_one(self.folder / "red.png")
        self.assertEqual(answer.ranked[0][0], "red")

    def test_mistakes_are_explained(self):
        network = self.networks["float32"]
        for content, overrides, message in (
            (network, {}, "--labels is needed"),
            (network, {"input_layer": "input"}, "--input_layer=input chooses a tensor of a frozen"),
            (network[:200], {}, "is not a classifier that can be run"),
            (b"\0\0\0\0TFL3" + bytes(90), {}, "is not a classifier that can be run"),
            (_with_files(network, retrain_metadata__json="{"), {}, "metadata cannot be read"),
        ):
            with self.assertRaisesRegex(UserError, message):
                self.classifier(content, **overrides)

    def test_images_of_another_size_are_refused_with_advice(self):
        classifier = self.classifier(self.networks["int8"], labels_file=self.labels, height=9)
        with self.assertRaisesRegex(UserError, "9 x 6.*--input_height"):
            classifier.classify_one(self.folder / "red.png")


if __name__ == "__main__":
    absltest.main()
