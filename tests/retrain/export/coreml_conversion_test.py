"""Tests that Core ML models normalise images as their networks expect, and keep the labels."""

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.export import coreml_conversion
from retrain.export.coreml_conversion import BGR, GRAYSCALE, RGB, TensorFlowClassifier
from retrain.export.coreml_reference import model
from retrain.runtimes.preprocessing import normalise

_LABELS = ("rot", "grün", "blue sky", "rest")
_HEIGHT, _WIDTH = 5, 7
_KINDS = {"program": (".mlpackage", False), "program16": (".mlpackage", True)}
_KINDS |= {"network": (".mlmodel", False), "network16": (".mlmodel", True)}

_GREY = ((120.0,), (60.0,))
_OFFSETS = ((103.939, 116.779, 123.68), (1.0, 1.0, 1.0))
_SCALED = ((127.0, 127.0, 127.0), (128.0, 128.0, 128.0))
_SCALES = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def _classifier(channel_order, mean, std, **changes):
    """Returns a classifier with a different weight for each value of each pixel."""
    import tensorflow as tf

    labels = changes.get("labels", _LABELS)
    rng = np.random.default_rng(1)
    size = _HEIGHT * _WIDTH * len(mean)
    weights = rng.normal(0, 0.1 / np.mean(std), (size, len(labels))) * 60
    bias = rng.normal(0, 1, len(labels))

    def scores(image):
        flat = tf.reshape(image, (1, -1))
        return tf.nn.softmax(tf.matmul(flat, tf.constant(weights, tf.float32)) + np.float32(bias))

    fields = dict(scores=scores, labels=_LABELS, height=_HEIGHT, width=_WIDTH)
    fields |= dict(channel_order=channel_order, mean=mean, std=std)
    return TensorFlowClassifier(**{**fields, **changes})


def _convert(classifier, *, ml_program, float16=False):
    return coreml_conversion.convert(
        classifier,
        ml_program=ml_program,
        float16=float16,
        input_name="photo",
        probabilities_name="chances",
    )


def _write(classifier, kind):
    suffix, float16 = _KINDS[kind]
    ml_program = suffix == ".mlpackage"
    path = Path(tempfile.mkdtemp(dir=absltest.get_default_test_tmpdir()), f"x{suffix}")
    if ml_program:
        path.mkdir()
    _convert(classifier, ml_program=ml_program, float16=float16).save(path)
    return path


def _load(classifier, kind):
    return model.load(_write(classifier, kind))


class PixelsTest(parameterized.TestCase):
    @parameterized.product(
        kind=tuple(_KINDS),
        image=((RGB, *_SCALED), (BGR, *_OFFSETS), (RGB, *_SCALES), (GRAYSCALE, *_GREY)),
    )
    def test_images_are_normalised_as_the_network_expects(self, kind, image):
        channel_order, mean, std = image
        classifier = _classifier(channel_order, mean, std)
        images = np.random.default_rng(0).integers(0, 256, (6, _HEIGHT, _WIDTH, 3), np.uint8)
        images[:, :2, :, 0] //= 3
        channels = {RGB: images, BGR: images[..., ::-1], GRAYSCALE: _grey(images)}[channel_order]
        expected = np.concatenate(
            [classifier.scores(normalise(p[np.newaxis], mean, std)) for p in channels]
        )
        self.assertGreater(np.ptp(expected, axis=0).max(), 0.05)
        loaded = _load(classifier, kind)
        scores = loaded(images)
        self.assertLess(np.abs(scores - expected).max(), 5e-3 if "16" in kind else 1e-5)
        (image,) = loaded.spec.description.input
        self.assertEqual((image.type.imageType.width, image.type.imageType.height), (7, 5))
        colour_space = image.type.imageType.ColorSpace.Name(image.type.imageType.colorSpace)
        self.assertEqual(colour_space, channel_order)

    def test_float16_files_are_smaller(self):
        classifier = _classifier(RGB, *_SCALED, labels=tuple(map(str, range(300))))
        sizes = {kind: _size(_write(classifier, kind)) for kind in _KINDS}
        self.assertBetween(sizes["program16"] / sizes["program"], 0.4, 0.65)
        self.assertBetween(sizes["network16"] / sizes["network"], 0.4, 0.65)


def _grey(images):
    from PIL import Image

    return np.stack([np.asarray(Image.fromarray(p).convert("L"))[..., np.newaxis] for p in images])


def _size(path):
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


class DescriptionTest(parameterized.TestCase):
    @parameterized.parameters(*_KINDS)
    def test_model_is_an_image_classifier(self, kind):
        loaded = _load(_classifier(RGB, *_SCALED), kind)
        description = loaded.spec.description
        self.assertEqual(loaded.labels, _LABELS)
        self.assertEqual([f.name for f in description.input], ["photo"])
        outputs = {f.name: f.type.WhichOneof("Type") for f in description.output}
        self.assertEqual(outputs, {"classLabel": "stringType", "chances": "dictionaryType"})
        self.assertEqual(description.predictedFeatureName, "classLabel")
        self.assertEqual(description.predictedProbabilitiesName, "chances")

    def test_specification_versions_are_those_of_the_documented_systems(self):
        classifier = _classifier(RGB, *_SCALED)
        self.assertEqual(_load(classifier, "program").spec.specificationVersion, 6)
        self.assertEqual(_load(classifier, "network").spec.specificationVersion, 4)


class RejectedTest(parameterized.TestCase):
    def assert_rejected(self, expected, classifier):
        for ml_program in (True, False):
            with self.assertRaisesRegex(UserError, expected):
                _convert(classifier, ml_program=ml_program)

    def test_wrong_number_of_labels(self):
        classifier = dataclasses.replace(_classifier(RGB, *_SCALED), labels=("a", "b"))
        self.assert_rejected("has 4 outputs, but there are 2 labels", classifier)

    def test_duplicate_label(self):
        classifier = _classifier(RGB, *_SCALED, labels=("a", "b", "c", "b"))
        self.assert_rejected("label 'b' occurs more than once", classifier)

    def test_network_that_is_not_a_classifier(self):
        classifier = _classifier(RGB, *_SCALED, scores=lambda image: image * 2)
        self.assert_rejected(r"not a classifier.*is \(1, 5, 7, 3\) instead of \(1, 4\)", classifier)

    def test_operation_that_core_ml_lacks(self):
        import tensorflow as tf

        classifier = _classifier(
            RGB,
            *_SCALED,
            labels=("a", "b", "c"),
            scores=lambda image: tf.math.lgamma(tf.reduce_mean(image, [1, 2])),
        )
        self.assert_rejected("none for TensorFlow's Lgamma", classifier)


class QuietTest(absltest.TestCase):
    def test_nothing_is_printed(self):
        program = (
            "from retrain.export import coremltools_import as c; c.load_coremltools();"
            "from tests.retrain.export import coreml_conversion_test as t;"
            "t._load(t._classifier(t.RGB, *t._SCALED), 'network16')"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))


if __name__ == "__main__":
    absltest.main()
