"""Tests that exported TFLite files compute the probabilities of the classifier."""

import dataclasses
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from label_image import classifier as label_image
from retrain.backbones import efficientnet_lite0, engines, quantise
from retrain.errors import UserError
from retrain.export import tflite
from retrain.export.assemble import TrainedClassifier
from retrain.output_options import TFLiteOptions
from retrain.runtimes import tflite_description, tflite_file
from retrain.runtimes.head import Head, softmax
from retrain.runtimes.litert import LiteRTModel
from retrain.runtimes.preprocessing import normalise
from tests.support import sample_classifier, tflite_models
from tests.support.tflite_models import float_operators

_EXACT = 1e-4
# Largest difference of a probability for each quantisation of the weights.
_TOLERANCES = {"none": _EXACT, "float16": 2e-2, "dynamic": 0.2}


def _label_image_scores(classifier: Path, image: Path) -> np.ndarray:
    """Returns the scores that label_image computes, in the order of the labels."""
    answer = label_image.Classifier(classifier).classify_one(image)
    assert isinstance(answer, label_image.Prediction), answer
    scores = dict(answer.ranked)
    return np.array([scores[label] for label in sample_classifier.LABELS], np.float32)


class TFLiteExportTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.classifier = sample_classifier.classifier()
        cls.images = sample_classifier.images(4)
        features = sample_classifier.features(cls.images)
        cls.expected = cls.classifier.head.probabilities(features)

    def write(self, classifier: TrainedClassifier, options: TFLiteOptions) -> Path:
        path = Path(self.create_tempdir().full_path) / "classifier.tflite"
        tflite.write(path, classifier, options)
        return path

    @parameterized.product(
        quantization=("none", "float16", "dynamic"), input_type=("uint8", "float32")
    )
    def test_file_matches_head(self, quantization: str, input_type: str):
        path = self.write(self.classifier, TFLiteOptions(quantization, input_type))
        found = tflite_file.load(path.read_bytes()).run(self.images)
        np.testing.assert_allclose(found, self.expected, atol=_TOLERANCES[quantization])
        model = LiteRTModel(path.read_bytes())
        self.assertEqual((model.input.shape, model.input.dtype), ((1, 224, 224, 3), input_type))
        self.assertEqual((model.output.shape, model.output.dtype), ((1, 3), "float32"))

    @parameterized.parameters("uint8", "float32")
    def test_label_image_computes_the_same_scores(self, input_type: str):
        path = self.write(self.classifier, TFLiteOptions("none", input_type))
        image = sample_classifier.save(path.parent, self.images[0], "0.png")
        np.testing.assert_allclose(_label_image_scores(path, image), self.expected[0], atol=_EXACT)

    @parameterized.parameters("uint8", "float32")
    def test_bgr_network_accepts_rgb(self, input_type: str):
        path = self.write(
            sample_classifier.classifier(channel_order="BGR"), TFLiteOptions("none", input_type)
        )
        swapped = tflite_file.load(path.read_bytes()).run(self.images[..., ::-1])
        np.testing.assert_allclose(swapped, self.expected, atol=_EXACT)

    @parameterized.product(input_type=("uint8", "float32"), order=("RGB", "BGR"))
    def test_each_channel_can_have_its_own_mean_and_std(self, input_type: str, order: str):
        mean, std = (100.0, 120.0, 140.0), (50.0, 60.0, 70.0)
        classifier = sample_classifier.classifier(mean=mean, std=std, channel_order=order)
        content = tflite.to_bytes(classifier, TFLiteOptions(input_type=input_type))
        network = LiteRTModel(self.classifier.backbone.read_tflite())
        channels = self.images[:1, ..., ::-1] if order == "BGR" else self.images[:1]
        features = network.run(normalise(channels, mean, std))
        found = tflite_file.load(content).run(self.images[:1])
        np.testing.assert_allclose(found, self.classifier.head.probabilities(features), atol=_EXACT)

    @parameterized.product(
        input_type=("uint8", "float32"),
        mean=((100.0, 120.0, 140.0), (0.0, 0.0, 0.0)),
        std=((50.0, 60.0, 70.0), (1.0, 1.0, 1.0)),
    )
    def test_the_input_has_one_mean_and_std_as_mediapipe_requires(self, input_type, mean, std):
        classifier = sample_classifier.classifier(mean=mean, std=std)
        content = tflite.to_bytes(classifier, TFLiteOptions(input_type=input_type))
        normalization = tflite_description.read(content).normalization
        self.assertLen(set(normalization.mean), 1)
        self.assertLen(set(normalization.std), 1)
        metadata = tflite_models.read_metadata(content)
        self.assertEqual((metadata.mean, metadata.std), tuple(normalization))

    def test_quantised_weights_make_smaller_files(self):
        kinds = [TFLiteOptions(quantization) for quantization in ("none", "float16", "dynamic")]
        full, half, quarter = (len(tflite.to_bytes(self.classifier, kind)) for kind in kinds)
        self.assertLess(half, 0.6 * full)
        self.assertLess(quarter, 0.4 * full)

    def test_equal_classifiers_make_identical_files(self):
        data = tflite.to_bytes(self.classifier, TFLiteOptions())
        self.assertEqual(data, tflite.to_bytes(self.classifier, TFLiteOptions()))

    def test_signature_names_input_and_output(self):
        from ai_edge_litert.interpreter import Interpreter

        path = self.write(self.classifier, TFLiteOptions())
        runner = Interpreter(str(path)).get_signature_runner("serving_default")
        found = runner(image=self.images[:1])
        np.testing.assert_allclose(found["probabilities"], self.expected[:1], atol=_EXACT)

    @parameterized.parameters(
        (TFLiteOptions("int4"), "--tflite_quantization=int4 is not known"),
        (TFLiteOptions("none", "float64"), "--tflite_input=float64 is not known"),
        (TFLiteOptions("int8", "float32"), "--tflite_input=float32 does not go with"),
    )
    def test_unknown_options_are_rejected(self, options: TFLiteOptions, message: str):
        with self.assertRaisesRegex(UserError, message):
            tflite.check(options)


class Int8Test(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        backbone = efficientnet_lite0.load()
        measured = sample_classifier.images(10, seed=1)
        normalised = normalise(measured, backbone.mean, backbone.std)
        cls.network = quantise.to_int8(backbone.read_tflite(), normalised)
        plain = sample_classifier.classifier()
        cls.classifier = dataclasses.replace(plain, int8_network=cls.network)
        cls.images = sample_classifier.images(8)
        cls.features = sample_classifier.features(
            cls.images, engine=engines.INT8, int8_network=cls.network
        )

    def probabilities(self, head: Head) -> np.ndarray:
        path = Path(self.create_tempdir().full_path) / "classifier.tflite"
        largest = float(np.abs(head.logits(self.features)).max())
        classifier = dataclasses.replace(self.classifier, head=head, largest_logit=largest)
        tflite.write(path, classifier, TFLiteOptions("int8"))
        return tflite_file.load(path.read_bytes()).run(self.images)

    def test_int8_file_uses_integer_operators_only(self):
        data = tflite.to_bytes(self.classifier, TFLiteOptions("int8"))
        self.assertEmpty(float_operators(data))
        model = LiteRTModel(data)
        self.assertEqual((model.input.dtype, model.output.dtype), (np.uint8, np.uint8))
        floats = tflite.to_bytes(self.classifier, TFLiteOptions("none"))
        self.assertIn("CONV_2D", float_operators(floats))

    @parameterized.named_parameters(
        ("usual", 1, 0), ("weak", 1e-3, 0), ("sharp", 10, 0), ("biased", 1, 30), ("zero", 0, 0)
    )
    def test_int8_file_matches_head(self, times: float, bias: float):
        head = self.classifier.head
        other = Head(
            head.weights * np.float32(times), head.bias + bias * np.eye(3, dtype=np.float32)[0]
        )
        expected = other.probabilities(self.features)
        np.testing.assert_allclose(self.probabilities(other), expected, atol=2e-2)

    def test_nearly_equal_scores_have_one_best_label(self):
        head = self.classifier.head
        columns = head.weights[:, [0, 0, 1, 1]]
        # The scores of each pair are equal when rounded to 8 bits.
        close = Head(columns, head.bias[[0, 0, 1, 1]] + np.float32([0, 4e-3, 4e-3, 0]))
        expected = close.probabilities(self.features)
        found = self.probabilities(close)
        np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))
        np.testing.assert_allclose(found, expected, atol=2e-2)
        self.assertTrue(((found == found.max(1, keepdims=True)).sum(1) == 1).all())

    def test_zero_weights_make_all_classes_equally_likely(self):
        head = Head(np.zeros((1584, 4), np.float32), np.zeros(4, np.float32))
        np.testing.assert_allclose(self.probabilities(head), np.full((8, 4), 0.25), atol=2e-2)

    def test_unknown_range_of_logits_covers_all_logits(self):
        head = self.classifier.head
        path = Path(self.create_tempdir().full_path) / "classifier.tflite"
        tflite.write(path, self.classifier, TFLiteOptions("int8"))
        found = tflite_file.load(path.read_bytes()).run(self.images)
        np.testing.assert_allclose(found, head.probabilities(self.features), atol=2e-2)

    @parameterized.parameters(2, 300)
    def test_two_and_many_classes(self, count: int):
        rng = np.random.default_rng(2)
        weights = rng.normal(0, 0.2, (1584, count)).astype(np.float32)
        head = Head(weights, np.zeros(count, np.float32))
        expected = softmax(head.logits(self.features))
        np.testing.assert_allclose(self.probabilities(head), expected, atol=2e-2)

    def test_label_image_computes_the_same_scores(self):
        path = Path(self.create_tempdir().full_path) / "classifier.tflite"
        tflite.write(path, self.classifier, TFLiteOptions("int8"))
        image = sample_classifier.save(path.parent, self.images[0], "0.png")
        expected = self.classifier.head.probabilities(self.features)[0]
        np.testing.assert_allclose(_label_image_scores(path, image), expected, atol=2e-2)


if __name__ == "__main__":
    absltest.main()
