"""Tests that the heads appended to TFLite models compute the probabilities of a Head."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.export import tflite_head
from retrain.export.tflite_editor import EditableModel
from retrain.runtimes.head import Head
from retrain.runtimes.litert import LiteRTModel
from tests.support import tflite_models

_WIDTH = 40
_SCALE, _ZERO_POINT = 0.05, -100


def _head(classes: int = 3, *, std: float = 0.5) -> Head:
    rng = np.random.default_rng(classes)
    weights = rng.normal(0, std, (_WIDTH, classes)).astype(np.float32)
    return Head(weights, rng.normal(0, std, classes).astype(np.float32))


def _integers(count: int = 20) -> np.ndarray:
    """Returns int8 features [count, _WIDTH]."""
    return np.random.default_rng(0).integers(-128, 128, (count, _WIDTH), np.int8)


def _values(integers: np.ndarray) -> np.ndarray:
    return ((integers.astype(np.float32) - _ZERO_POINT) * _SCALE).astype(np.float32)


def _run(model: EditableModel, features: np.ndarray) -> np.ndarray:
    litert = LiteRTModel(model.to_bytes())
    return np.concatenate([litert.run(row[np.newaxis]) for row in features])


class FloatHeadTest(absltest.TestCase):
    def test_matches_head(self):
        head = _head()
        model = EditableModel(tflite_models.identity((1, _WIDTH)))
        tflite_head.append_float_head(model, head)
        features = _values(_integers())
        np.testing.assert_allclose(_run(model, features), head.probabilities(features), atol=1e-6)


class IntegerHeadTest(parameterized.TestCase):
    def model(self, head: Head, *, largest_logit: float | None = None) -> EditableModel:
        model = EditableModel(
            tflite_models.identity((1, _WIDTH), "int8", scale=_SCALE, zero_point=_ZERO_POINT)
        )
        tflite_head.append_integer_head(model, head, largest_logit=largest_logit)
        return model

    def probabilities(self, head: Head, *, largest_logit: float | None = None) -> np.ndarray:
        scores = _run(self.model(head, largest_logit=largest_logit), _integers())
        self.assertEqual(scores.dtype, np.uint8)
        return scores.astype(np.float32) / 256

    @parameterized.parameters(2, 3, 100)
    def test_matches_head(self, classes: int):
        head = _head(classes)
        expected = head.probabilities(_values(_integers()))
        # The best score is one step of 1/256 higher; rounding adds half a step.
        np.testing.assert_allclose(self.probabilities(head), expected, atol=2 / 256)

    def test_logits_within_twice_the_largest_expected_one_are_exact(self):
        head = _head(std=0.05)
        values = _values(_integers())
        largest = float(np.abs(head.logits(values)).max())
        expected = head.probabilities(values)
        for limit in (largest, largest / 2):
            scores = self.probabilities(head, largest_logit=limit)
            np.testing.assert_allclose(scores, expected, atol=2 / 256)
        clipped = self.probabilities(head, largest_logit=largest / 20)
        self.assertGreater(np.abs(clipped - expected).max(), 0.1)

    def test_nearly_equal_scores_have_one_best_class(self):
        head = _head(4)
        # The second class of each pair is better by less than 1/256.
        columns, bias = head.weights[:, [0, 0, 1, 1]], np.float32([0, 4e-3, 0, 4e-3])
        scores = self.probabilities(Head(columns, bias))
        expected = Head(columns, bias).logits(_values(_integers())).argmax(1)
        self.assertContainsSubset(expected, [1, 3])
        np.testing.assert_array_equal(scores.argmax(1), expected)
        best = scores == scores.max(1, keepdims=True)
        np.testing.assert_array_equal(best.sum(1), np.ones(len(scores)))

    def test_many_similar_classes_keep_the_best_one(self):
        head = _head(500, std=0.005)
        expected = head.probabilities(_values(_integers()))
        self.assertLess(expected.max(), 2 / 256)
        np.testing.assert_array_equal(self.probabilities(head).argmax(1), expected.argmax(1))

    def test_zero_weights_make_all_classes_equally_likely(self):
        head = Head(np.zeros((_WIDTH, 4), np.float32), np.zeros(4, np.float32))
        np.testing.assert_allclose(self.probabilities(head), 0.25, atol=2 / 256)

    def test_uses_integer_operators_only(self):
        flatbuffer = self.model(_head()).to_bytes()
        self.assertNotEmpty(tflite_models.operators(flatbuffer))
        self.assertEmpty(tflite_models.float_operators(flatbuffer))


if __name__ == "__main__":
    absltest.main()
