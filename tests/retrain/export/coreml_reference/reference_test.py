"""Tests that the reference computes from a file what TensorFlow computes from the network."""

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from retrain.export import coreml_conversion, coremltools_import
from retrain.export.coreml_conversion import RGB, TensorFlowClassifier
from retrain.export.coreml_reference import model, operations
from retrain.export.coreml_reference.errors import UnsupportedOperationError
from retrain.runtimes.preprocessing import normalise

# An odd and an even number, so that padding differs between the sides.
_HEIGHT, _WIDTH = 13, 16
_MEAN, _STD = (100.0, 110.0, 120.0), (60.0, 60.0, 60.0)
_LABELS = ("a", "b", "c")
_NETWORKS: dict = {}


def _network(function):
    _NETWORKS[function.__name__] = function
    return function


def _weights(*shape):
    rng = np.random.default_rng(sum(shape))
    return rng.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape).astype(np.float32)


@_network
def convolutions(tf, x):
    x = tf.nn.relu6(tf.nn.conv2d(x, _weights(3, 3, 3, 8), 2, "SAME") + _weights(8))
    x = tf.nn.depthwise_conv2d(x, 9 * _weights(3, 3, 8, 1), (1, 1, 1, 1), "SAME")
    x = tf.nn.depthwise_conv2d(x, 9 * _weights(5, 3, 8, 2), (1, 2, 2, 1), "SAME")
    x = tf.nn.conv2d(x, _weights(1, 1, 16, 12), 1, "VALID")
    return tf.nn.conv2d(x, _weights(2, 2, 12, 12), 1, "SAME", dilations=2)


@_network
def poolings(tf, x):
    larger = tf.nn.max_pool2d(x, 3, 2, "SAME")
    mean = tf.nn.avg_pool2d(x, 3, 2, "SAME")
    x = tf.concat([larger, mean], -1)
    x = tf.nn.avg_pool2d(x, (2, 3), 1, "VALID") + 0.1 * tf.nn.max_pool2d(x, (2, 3), 1, "VALID")
    return tf.nn.conv2d(x, _weights(2, 2, 6, 8), 1, "VALID")


@_network
def squeeze_and_excite(tf, x):
    x = tf.nn.silu(tf.nn.conv2d(x, 2 * _weights(3, 3, 3, 8), 2, "SAME"))
    squeezed = tf.reduce_mean(x, [1, 2], keepdims=True)
    x = x * tf.sigmoid(tf.nn.conv2d(squeezed, 9 * _weights(1, 1, 8, 8), 1, "SAME"))
    # The hard swish of MobileNetV3.
    return x * tf.nn.relu6(x + 3) / 6


@_network
def padded(tf, x):
    x = tf.pad(x, [(0, 0), (0, 1), (2, 1), (0, 0)])
    x = tf.nn.relu(tf.nn.conv2d(x, _weights(3, 3, 3, 8), 2, "VALID"))
    return tf.concat([x, 2 * x], -1)


@_network
def batch_normalised(tf, x):
    larger = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x, _, _, *_ = tf.raw_ops.FusedBatchNormV3(
        **dict(x=larger, scale=1 + _weights(3), offset=_weights(3), mean=_weights(3)),
        **dict(variance=np.abs(_weights(3)) + 0.5, epsilon=1e-3, is_training=False),
    )
    return tf.nn.relu(x)


@_network
def batch_normalised_twice(tf, x):
    # coremltools merges a normalisation into the convolution before it.
    return batch_normalised(tf, tf.nn.conv2d(x, _weights(2, 2, 3, 3), 1, "VALID"))


@_network
def normalised(tf, x):
    return (x - _weights(3)) / tf.reduce_mean(x * x + 1, [1, 2], keepdims=True)


@_network
def cropped(tf, x):
    return tf.concat([x[:, 1:, 1:], tf.nn.relu(x[:, :-1, :-1])], -1)


@_network
def flattened(tf, x):
    x = tf.nn.max_pool2d(x, 3, 3, "VALID")
    return tf.reshape(x, (1, -1))


@_network
def layer_normalised(tf, x):
    mean, variance = tf.nn.moments(x, [3], keepdims=True)
    x = (x - mean) * tf.math.rsqrt(variance + 1e-3) * _weights(3)
    x = tf.matmul(tf.reshape(x, (1, _HEIGHT * _WIDTH, 3)), _weights(1, 3, 8))
    x = x * (1 + tf.math.erf(x / np.float32(np.sqrt(2)))) / 2 + tf.tanh(tf.square(x))
    return tf.reshape(x, (1, _HEIGHT, _WIDTH, 8))


# Networks with layers that the reference supports in ML Programs only.
_ML_PROGRAMS_ONLY = {"layer_normalised"}


class AgreementTest(parameterized.TestCase):
    def probabilities(self, scores, *, ml_program, float16=False):
        loaded = _load(_with_labels(scores), ml_program=ml_program, float16=float16)
        return loaded(_images())

    def expected(self, scores):
        return np.concatenate([scores(image[np.newaxis]) for image in _pixels()])

    @parameterized.parameters(
        *((name, True) for name in _NETWORKS),
        *((name, False) for name in _NETWORKS if name not in _ML_PROGRAMS_ONLY),
    )
    def test_matches_tensorflow(self, name, ml_program):
        scores = _classifier(_NETWORKS[name])
        expected = self.expected(scores)
        self.assertGreater(
            np.ptp(expected, axis=0).max(), 0.05, "the scores of all images are equal"
        )
        found = self.probabilities(scores, ml_program=ml_program)
        np.testing.assert_allclose(found, expected, atol=2e-6)

    def test_float16_program_rounds_every_result(self):
        scores = _classifier(convolutions)
        found = self.probabilities(scores, ml_program=True, float16=True)
        np.testing.assert_array_equal(found, found.astype(np.float16))
        difference = np.abs(found - self.expected(scores)).max()
        self.assertBetween(difference, 1e-5, 1e-2)

    def test_float16_neural_network_rounds_its_weights(self):
        scores = _classifier(convolutions)
        found = self.probabilities(scores, ml_program=False, float16=True)
        difference = np.abs(found - self.expected(scores)).max()
        self.assertBetween(difference, 1e-6, 1e-2)


class FileTest(parameterized.TestCase):
    def test_weights_are_read_from_the_file(self):
        path = _write(_with_labels(_classifier(convolutions)), ml_program=True)
        image = _images()[:1]
        before = model.load(path)(image)
        (weights,) = path.rglob("weight.bin")
        data = bytearray(weights.read_bytes())
        middle = len(data) // 2 // 64 * 64
        data[middle : middle + 64] = np.full(16, 3, np.float32).tobytes()
        weights.write_bytes(data)
        self.assertGreater(np.abs(model.load(path)(image) - before).max(), 1e-3)

    def test_biases_of_the_preprocessing_are_read_from_the_file(self):
        path = _write(_with_labels(_classifier(poolings)), ml_program=False)
        loaded = model.load(path)
        loaded.spec.neuralNetworkClassifier.preprocessing[0].scaler.redBias += 1
        other = path.with_name("other.mlmodel")
        other.write_bytes(loaded.spec.SerializeToString())
        image = _images()[:1]
        self.assertGreater(np.abs(model.load(other)(image) - loaded(image)).max(), 1e-3)

    def test_no_images(self):
        loaded = model.load(_write(_with_labels(_classifier(flattened)), ml_program=True))
        self.assertEqual(loaded(np.zeros((0, _HEIGHT, _WIDTH, 3), np.uint8)).shape, (0, 3))


class UnsupportedTest(parameterized.TestCase):
    @parameterized.parameters((True, "ML Program operations sin"), (False, "layers sin"))
    def test_error_names_the_operation(self, ml_program, expected):
        scores = _classifier(lambda tf, x: tf.math.sin(x))
        with self.assertRaisesRegex(UnsupportedOperationError, expected):
            _load(_with_labels(scores), ml_program=ml_program)

    def test_model_that_is_not_a_classifier(self):
        from coremltools.proto import Model_pb2

        spec = Model_pb2.Model()
        spec.neuralNetwork.layers.add(name="nothing")
        path = Path(tempfile.mkdtemp(dir=absltest.get_default_test_tmpdir()), "x.mlmodel")
        path.write_bytes(spec.SerializeToString())
        with self.assertRaisesRegex(UnsupportedOperationError, "neuralNetwork"):
            model.load(path)

    def test_failure_of_the_reference_itself(self):
        path = _write(_with_labels(_classifier(flattened)), ml_program=True)
        with (
            mock.patch.dict(operations.OPERATIONS, {"softmax": lambda args: args["absent"]}),
            self.assertRaisesRegex(UnsupportedOperationError, r"this model \(KeyError: 'absent'\)"),
        ):
            model.load(path)


def _images():
    coarse = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
    return coarse.repeat(4, 1).repeat(4, 2)[:, :_HEIGHT, :_WIDTH]


def _pixels():
    return normalise(_images(), _MEAN, _STD)


def _classifier(body):
    """Returns a function that computes different probabilities for each image."""
    import tensorflow as tf

    def features(x):
        x = body(tf, tf.convert_to_tensor(x))
        return tf.reduce_mean(x, [1, 2]) if len(x.shape) == 4 else x

    found = np.concatenate([features(image[np.newaxis]) for image in _pixels()])
    mean, std = found.mean(0), found.std(0) + 1e-3
    weights = 2 * _weights(len(mean), len(_LABELS)) / std[:, np.newaxis]
    return lambda x: tf.nn.softmax(tf.matmul(features(x), weights) - mean @ weights)


def _with_labels(scores):
    return TensorFlowClassifier(scores, _LABELS, _HEIGHT, _WIDTH, RGB, _MEAN, _STD)


def _write(classifier, *, ml_program, float16=False):
    path = Path(
        tempfile.mkdtemp(dir=absltest.get_default_test_tmpdir()),
        "x.mlpackage" if ml_program else "x.mlmodel",
    )
    if ml_program:
        path.mkdir()
    coreml_conversion.convert(
        classifier,
        ml_program=ml_program,
        float16=float16,
        input_name="image",
        probabilities_name="probabilities",
    ).save(path)
    return path


def _load(classifier, *, ml_program, float16=False):
    return model.load(_write(classifier, ml_program=ml_program, float16=float16))


if __name__ == "__main__":
    coremltools_import.load_coremltools()
    absltest.main()
