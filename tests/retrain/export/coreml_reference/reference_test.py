"""The reference computes what TensorFlow does, from the file alone, and names what it knows not."""

import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.data import pixels
from retrain.export import coreml_conversion
from retrain.export.coreml_conversion import RGB, Network
from retrain.export.coreml_reference import model
from retrain.export.coreml_reference.kernels import UnknownOperationError

# Odd and even sides, so that padding is not the same on all sides.
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
    # What follows a convolution becomes part of it.
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


# What no neural network of the old format has been seen to have.
_PROGRAMS_ONLY = {"layer_normalised"}


class AgreementTest(parameterized.TestCase):
    def answers(self, scores, program, half=False):
        network = Network(scores, _LABELS, _HEIGHT, _WIDTH, RGB, _MEAN, _STD)
        return _load(network, program, half)(_images())

    def expected(self, scores):
        return np.concatenate([scores(image[np.newaxis]) for image in _pixels()])

    @parameterized.parameters(
        *((name, True) for name in _NETWORKS),
        *((name, False) for name in _NETWORKS if name not in _PROGRAMS_ONLY),
    )
    def test_it_computes_what_tensorflow_does(self, name, program):
        scores = _classifier(_NETWORKS[name])
        expected = self.expected(scores)
        self.assertGreater(np.ptp(expected, axis=0).max(), 0.05, "all images are the same to it")
        answers = self.answers(scores, program)
        np.testing.assert_allclose(answers, expected, atol=2e-6)

    def test_a_program_in_sixteen_bits_rounds_every_number(self):
        scores = _classifier(convolutions)
        answers = self.answers(scores, program=True, half=True)
        np.testing.assert_array_equal(answers, answers.astype(np.float16))
        difference = np.abs(answers - self.expected(scores)).max()
        self.assertBetween(difference, 1e-5, 1e-2)

    def test_a_neural_network_in_sixteen_bits_rounds_its_weights(self):
        scores = _classifier(convolutions)
        answers = self.answers(scores, program=False, half=True)
        difference = np.abs(answers - self.expected(scores)).max()
        self.assertBetween(difference, 1e-6, 1e-2)


class FileTest(parameterized.TestCase):
    def test_it_reads_the_weights_of_the_file(self):
        network = Network(_classifier(convolutions), _LABELS, _HEIGHT, _WIDTH, RGB, _MEAN, _STD)
        path = _write(network, program=True)
        image = _images()[:1]
        before = model.load(path)(image)
        (weights,) = path.rglob("weight.bin")
        data = bytearray(weights.read_bytes())
        middle = len(data) // 2 // 64 * 64
        data[middle : middle + 64] = np.full(16, 3, np.float32).tobytes()
        weights.write_bytes(data)
        self.assertGreater(np.abs(model.load(path)(image) - before).max(), 1e-3)

    def test_it_reads_the_offsets_of_the_file(self):
        network = Network(_classifier(poolings), _LABELS, _HEIGHT, _WIDTH, RGB, _MEAN, _STD)
        path = _write(network, program=False)
        loaded = model.load(path)
        loaded.spec.neuralNetworkClassifier.preprocessing[0].scaler.redBias += 1
        other = path.with_name("other.mlmodel")
        other.write_bytes(loaded.spec.SerializeToString())
        image = _images()[:1]
        self.assertGreater(np.abs(model.load(other)(image) - loaded(image)).max(), 1e-3)

    def test_no_images(self):
        network = Network(_classifier(flattened), _LABELS, _HEIGHT, _WIDTH, RGB, _MEAN, _STD)
        loaded = model.load(_write(network, program=True))
        self.assertEqual(loaded(np.zeros((0, _HEIGHT, _WIDTH, 3), np.uint8)).shape, (0, 3))


class UnknownTest(parameterized.TestCase):
    @parameterized.parameters((True, "ML Program operations sin"), (False, "layers sin"))
    def test_operations_are_named(self, program, expected):
        scores = _classifier(lambda tf, x: tf.math.sin(x))
        network = Network(scores, _LABELS, _HEIGHT, _WIDTH, RGB, _MEAN, _STD)
        with self.assertRaisesRegex(UnknownOperationError, expected):
            _load(network, program)

    def test_what_is_no_classifier(self):
        from coremltools.proto import Model_pb2

        spec = Model_pb2.Model()
        spec.neuralNetwork.layers.add(name="nothing")
        path = Path(tempfile.mkdtemp(dir=absltest.get_default_test_tmpdir()), "x.mlmodel")
        path.write_bytes(spec.SerializeToString())
        with self.assertRaisesRegex(UnknownOperationError, "neuralNetwork"):
            model.load(path)


def _images():
    coarse = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
    return coarse.repeat(4, 1).repeat(4, 2)[:, :_HEIGHT, :_WIDTH]


def _pixels():
    return pixels.normalise(_images(), _MEAN, _STD)


def _classifier(body):
    """Returns a function with a softmax layer behind a body, that tells the images apart."""
    import tensorflow as tf

    def features(x):
        x = body(tf, tf.convert_to_tensor(x))
        return tf.reduce_mean(x, [1, 2]) if len(x.shape) == 4 else x

    found = np.concatenate([features(image[np.newaxis]) for image in _pixels()])
    mean, std = found.mean(0), found.std(0) + 1e-3
    weights = 2 * _weights(len(mean), len(_LABELS)) / std[:, np.newaxis]
    return lambda x: tf.nn.softmax(tf.matmul(features(x), weights) - mean @ weights)


def _write(network, program, half=False):
    path = Path(
        tempfile.mkdtemp(dir=absltest.get_default_test_tmpdir()),
        "x.mlpackage" if program else "x.mlmodel",
    )
    if program:
        path.mkdir()
    coreml_conversion.convert(network, program, half, "image", "probabilities").save(path)
    return path


def _load(network, program, half=False):
    return model.load(_write(network, program, half))


if __name__ == "__main__":
    coreml_conversion.load_coremltools()
    absltest.main()
