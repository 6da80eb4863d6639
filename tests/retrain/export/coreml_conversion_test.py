"""Core ML models see the pixels that the network was made for, and keep labels in their order."""

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.data import pixels
from retrain.errors import UserError
from retrain.export import coreml_conversion
from retrain.export.coreml_conversion import BGR, GRAYSCALE, RGB, Network
from retrain.export.coreml_reference import model

_LABELS = ("rot", "grün", "blue sky", "rest")
_HEIGHT, _WIDTH = 5, 7
_KINDS = {"program": (".mlpackage", False), "program16": (".mlpackage", True)}
_KINDS |= {"network": (".mlmodel", False), "network16": (".mlmodel", True)}

_GREY = ((120.0,), (60.0,))
_OFFSETS = ((103.939, 116.779, 123.68), (1.0, 1.0, 1.0))
_SCALED = ((127.0, 127.0, 127.0), (128.0, 128.0, 128.0))
_SCALES = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def _network(colours, mean, std, **changes):
    """Returns a network in which every value of every pixel counts otherwise."""
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
    return Network(**{**fields, **dict(colours=colours, mean=mean, std=std), **changes})


def _write(network, kind):
    suffix, half = _KINDS[kind]
    program = suffix == ".mlpackage"
    path = Path(tempfile.mkdtemp(dir=absltest.get_default_test_tmpdir()), f"x{suffix}")
    if program:
        path.mkdir()
    coreml_conversion.convert(network, program, half, "picture", "chances").save(path)
    return path


def _convert(network, kind):
    return model.load(_write(network, kind))


class PixelsTest(parameterized.TestCase):
    @parameterized.product(
        kind=tuple(_KINDS),
        image=((RGB, *_SCALED), (BGR, *_OFFSETS), (RGB, *_SCALES), (GRAYSCALE, *_GREY)),
    )
    def test_they_are_normalised_as_the_network_wants_them(self, kind, image):
        colours, mean, std = image
        network = _network(colours, mean, std)
        images = np.random.default_rng(0).integers(0, 256, (6, _HEIGHT, _WIDTH, 3), np.uint8)
        images[:, :2, :, 0] //= 3
        channels = {RGB: images, BGR: images[..., ::-1], GRAYSCALE: _grey(images)}[colours]
        expected = np.concatenate(
            [network.scores(pixels.normalise(p[np.newaxis], mean, std)) for p in channels]
        )
        self.assertGreater(np.ptp(expected, axis=0).max(), 0.05)
        loaded = _convert(network, kind)
        answers = loaded(images)
        self.assertLess(np.abs(answers - expected).max(), 5e-3 if "16" in kind else 1e-5)
        (image,) = loaded.spec.description.input
        self.assertEqual((image.type.imageType.width, image.type.imageType.height), (7, 5))
        colour_space = image.type.imageType.ColorSpace.Name(image.type.imageType.colorSpace)
        self.assertEqual(colour_space, colours)

    def test_files_are_smaller_in_sixteen_bits(self):
        network = _network(RGB, *_SCALED, labels=tuple(map(str, range(300))))
        sizes = {kind: _size(_write(network, kind)) for kind in _KINDS}
        self.assertBetween(sizes["program16"] / sizes["program"], 0.4, 0.65)
        self.assertBetween(sizes["network16"] / sizes["network"], 0.4, 0.65)


def _grey(images):
    from PIL import Image

    return np.stack([np.asarray(Image.fromarray(p).convert("L"))[..., np.newaxis] for p in images])


def _size(path):
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


class DescriptionTest(parameterized.TestCase):
    @parameterized.parameters(*_KINDS)
    def test_it_is_a_classifier_of_images(self, kind):
        loaded = _convert(_network(RGB, *_SCALED), kind)
        description = loaded.spec.description
        self.assertEqual(loaded.labels, _LABELS)
        self.assertEqual([f.name for f in description.input], ["picture"])
        outputs = {f.name: f.type.WhichOneof("Type") for f in description.output}
        self.assertEqual(outputs, {"classLabel": "stringType", "chances": "dictionaryType"})
        self.assertEqual(description.predictedFeatureName, "classLabel")
        self.assertEqual(description.predictedProbabilitiesName, "chances")

    def test_the_oldest_systems_are_those_that_the_documentation_names(self):
        network = _network(RGB, *_SCALED)
        self.assertEqual(_convert(network, "program").spec.specificationVersion, 6)
        self.assertEqual(_convert(network, "network").spec.specificationVersion, 4)


class RefusedTest(parameterized.TestCase):
    def assert_refused(self, expected, network):
        for program in (True, False):
            with self.assertRaisesRegex(UserError, expected):
                coreml_conversion.convert(network, program, False, "picture", "chances")

    def test_another_number_of_labels(self):
        network = dataclasses.replace(_network(RGB, *_SCALED), labels=("a", "b"))
        self.assert_refused("has 4 outputs, but there are 2 labels", network)

    def test_a_label_twice(self):
        network = _network(RGB, *_SCALED, labels=("a", "b", "c", "b"))
        self.assert_refused("label 'b' occurs more than once", network)

    def test_what_is_no_classifier(self):
        network = _network(RGB, *_SCALED, scores=lambda image: image * 2)
        self.assert_refused(r"not a classifier.*\(1, 5, 7, 3\)", network)

    def test_an_operation_that_core_ml_has_not(self):
        import tensorflow as tf

        network = _network(
            RGB,
            *_SCALED,
            labels=("a", "b", "c"),
            scores=lambda image: tf.math.lgamma(tf.reduce_mean(image, [1, 2])),
        )
        self.assert_refused("none for TensorFlow's Lgamma", network)


class QuietTest(absltest.TestCase):
    def test_nothing_is_printed(self):
        program = (
            "from retrain.export import coreml_conversion as c; c.load_coremltools();"
            "from tests import coreml_conversion_test as t;"
            "t._convert(t._network(t.RGB, *t._SCALED), 'network16')"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))


if __name__ == "__main__":
    absltest.main()
