"""Tests that a classifier gets labels and preprocessing, and is checked before it is written."""

import dataclasses
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.errors import UserError
from tests.support import sample_classifier
from tools.conversion.converted_classifier import ConvertedClassifier, resolve_labels
from tools.conversion.preprocessing import InputFormat
from tools.conversion.source import SourceClassifier

_LABELS = ("red", "green", "blue")
_RGB = InputFormat("RGB", (0.0, 0.0, 0.0), (255.0, 255.0, 255.0))


def _shares(pixels):
    """Returns the share of each channel in an image, which is a probability."""
    import tensorflow as tf

    means = tf.reduce_mean(pixels, [1, 2])
    return means / tf.reduce_sum(means, 1, keepdims=True)


def _logits(pixels):
    return 4 * pixels.mean((1, 2))[:, :1] - 2


def _sigmoid(pixels):
    import tensorflow as tf

    return tf.sigmoid(4 * tf.reduce_mean(pixels, [1, 2])[:, :1] - 2)


def _classifier(scores=_shares, *, labels=_LABELS, input_format=_RGB, add_softmax=False):
    channels = len(input_format.mean)
    return ConvertedClassifier(
        source=SourceClassifier(scores=scores, height=8, width=10, channels=channels),
        labels=labels,
        input_format=input_format,
        add_softmax=add_softmax,
    )


class ScoresTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (2, 8, 10, 3), np.uint8)

    def expected(self, images):
        means = images.mean((1, 2))
        return means / means.sum(1, keepdims=True)

    def test_rgb_images_are_normalised(self):
        def mean(pixels):
            import tensorflow as tf

            return tf.reduce_mean(pixels, [1, 2])

        input_format = InputFormat("RGB", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
        scores = _classifier(mean, input_format=input_format).scores_of_images(self.images)
        expected = (self.images.mean((1, 2)) - [1, 2, 3]) / [4, 5, 6]
        np.testing.assert_allclose(scores, expected, rtol=1e-5)

    def test_bgr_networks_get_the_channels_in_their_order(self):
        input_format = InputFormat("BGR", (0.0,) * 3, (1.0,) * 3)
        scores = _classifier(input_format=input_format).scores_of_images(self.images)
        np.testing.assert_allclose(scores, self.expected(self.images[..., ::-1]), rtol=1e-5)

    def test_grey_networks_get_one_channel(self):
        input_format = InputFormat("GRAYSCALE", (0.0,), (1.0,))
        grey = _classifier(input_format=input_format).as_input(self.images)
        self.assertEqual((grey.shape, grey.dtype), ((2, 8, 10, 1), np.uint8))
        weighted = self.images @ [0.299, 0.587, 0.114]
        np.testing.assert_allclose(grey[..., 0], weighted, atol=1)

    def test_a_softmax_can_be_added(self):
        scores = _classifier(add_softmax=True).scores_of_images(self.images)
        exponentials = np.exp(self.expected(self.images))
        expected = exponentials / exponentials.sum(1, keepdims=True)
        np.testing.assert_allclose(scores, expected, rtol=1e-5)

    def test_expected_scores_are_those_of_the_test_images(self):
        classifier = _classifier()
        self.assertEqual(classifier.test_images.shape[1:], (8, 10, 3))
        expected = self.expected(classifier.test_images)
        np.testing.assert_allclose(classifier.expected_scores, expected, rtol=1e-5)


class CheckTest(absltest.TestCase):
    def test_probabilities_are_accepted_without_warning(self):
        with self.assertNoLogs(level="WARNING"):
            _classifier().check()

    def test_other_scores_are_accepted_with_a_warning(self):
        with self.assertLogs(level="WARNING") as logged:
            _classifier(lambda pixels: 5 * pixels[:, 0, 0]).check()
        self.assertIn("--add_softmax", logged.output[0])

    def test_a_wrong_number_of_labels_is_refused(self):
        with self.assertRaisesRegex(UserError, "has 3 outputs, but there are 2 labels"):
            _classifier(labels=("a", "b")).check()

    def test_one_sigmoid_is_the_probability_of_the_second_label(self):
        classifier = _classifier(_sigmoid, labels=("cat", "dog"))
        with self.assertLogs(level="INFO") as logged:
            classifier.check()
        (line,) = logged.output
        self.assertRegex(line, "the second label, dog,.*the first label, cat,")
        scores = np.asarray(classifier.scores_of_images(classifier.test_images))
        second = 1 / (1 + np.exp(-_logits(classifier.test_images / 255)))
        np.testing.assert_allclose(scores, np.hstack([1 - second, second]), atol=1e-6)
        np.testing.assert_allclose(classifier.expected_scores, scores, atol=1e-6)

    def test_one_logit_needs_a_softmax(self):
        for scale in (0.01, 10):

            def logits(pixels, scale=scale):
                import tensorflow as tf

                means = tf.reduce_mean(pixels, [1, 2])
                return tf.matmul(means, tf.fill((3, 1), tf.constant(scale, tf.float32)))

            with self.assertRaisesRegex(UserError, "no sigmoid.*--add_softmax"):
                _classifier(logits, labels=("cat", "dog")).check()
            classifier = _classifier(logits, labels=("cat", "dog"), add_softmax=True)
            classifier.check()
            logit = np.asarray(logits(np.float32(classifier.test_images / 255)))
            expected = 1 / (1 + np.exp(-logit))
            np.testing.assert_allclose(classifier.expected_scores[:, 1:], expected, atol=1e-5)

    def test_one_sigmoid_with_another_number_of_labels_is_refused(self):
        for labels in (("cat",), _LABELS):
            message = f"one output.*number of labels is {len(labels)}; give two labels"
            with self.assertRaisesRegex(UserError, message):
                _classifier(_sigmoid, labels=labels).check()

    def test_a_network_that_is_not_a_classifier_is_refused(self):
        with self.assertRaisesRegex(UserError, r"not a classifier.*\[1, 8, 10, 3\]"):
            _classifier(lambda pixels: pixels).check()

    def test_a_network_with_a_single_number_as_output_is_refused(self):
        def total(pixels):
            import tensorflow as tf

            return tf.reduce_sum(pixels)

        with self.assertRaisesRegex(UserError, r"not a classifier.*\[1\] instead of \[1, 3\]"):
            _classifier(total).check()

    def test_images_of_a_size_that_the_network_cannot_take_are_refused(self):
        def fixed_size(pixels):
            import tensorflow as tf

            return tf.reshape(pixels, [-1, 9 * 11 * 3])[:, :3]

        with self.assertRaisesRegex(
            UserError, r"\A.* 8 x 10 pixels \(.+\); set --input_height.*\Z"
        ):
            _classifier(fixed_size).check()


class MetadataTest(absltest.TestCase):
    def test_a_network_of_another_program_is_described(self):
        metadata = _classifier().metadata()
        self.assertEqual(metadata.labels, _LABELS)
        self.assertEqual((metadata.height, metadata.width), (8, 10))
        self.assertEqual((metadata.mean, metadata.std), (_RGB.mean, _RGB.std))
        self.assertIsNone(metadata.test_accuracy)
        self.assertEqual(metadata.fit, "stretch")

    def test_how_images_are_fitted_is_kept(self):
        cropped = dataclasses.replace(_classifier(), fit="crop")
        self.assertEqual(cropped.metadata().fit, "crop")

    def test_there_is_none_for_grey_images(self):
        input_format = InputFormat("GRAYSCALE", (0.0,), (1.0,))
        self.assertIsNone(_classifier(input_format=input_format).metadata())


class ResolveLabelsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.file = Path(self.create_tempdir().full_path) / "labels.txt"
        self.graph = Path("graph.pb")

    def test_labels_in_a_file(self):
        self.file.write_text("grün\nblue sky\n", "utf-8")
        self.assertEqual(resolve_labels(self.graph, None, self.file, ()), ("grün", "blue sky"))

    def test_labels_in_a_flag(self):
        self.assertEqual(resolve_labels(self.graph, None, None, ("a", "b")), ("a", "b"))

    def test_labels_in_the_metadata_come_last(self):
        metadata = sample_classifier.classifier().metadata
        self.assertEqual(resolve_labels(self.graph, metadata, None, ()), sample_classifier.LABELS)

    def test_labels_of_another_classifier_are_refused(self):
        metadata = sample_classifier.classifier().metadata
        translated = tuple(f"le {label}" for label in metadata.labels)
        self.assertEqual(resolve_labels(self.graph, metadata, None, translated), translated)
        wrong = metadata.labels[::-1]
        with self.assertRaisesRegex(UserError, "^--class_labels=.* belongs to another classifier"):
            resolve_labels(self.graph, metadata, None, wrong)
        self.file.write_text("\n".join(wrong))
        with self.assertRaisesRegex(UserError, "^--labels=.* belongs to another classifier"):
            resolve_labels(self.graph, metadata, self.file, ())

    @parameterized.parameters(
        (None, "cannot be read: No such file"), (b"", "is empty"), (b"caf\xe9", "UTF-8")
    )
    def test_a_file_without_labels_is_refused(self, content, expected):
        if content is not None:
            self.file.write_bytes(content)
        with self.assertRaisesRegex(UserError, f"--labels=.*{expected}"):
            resolve_labels(self.graph, None, self.file, ())

    def test_missing_and_repeated_labels_are_refused(self):
        with self.assertRaisesRegex(UserError, "--labels is needed"):
            resolve_labels(self.graph, None, None, ())
        with self.assertRaisesRegex(UserError, "only one of the two"):
            resolve_labels(self.graph, None, self.file, ("a",))


if __name__ == "__main__":
    absltest.main()
