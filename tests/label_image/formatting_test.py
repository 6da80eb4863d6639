"""Tests the text and the JSON of classification results."""

import dataclasses
import json
from pathlib import Path

from absl.testing import absltest

from label_image.classifier import Prediction, UnreadableImage
from label_image.formatting import as_json, as_object, as_text

_UNKNOWN = Prediction(Path("p"), (("a", 0.9), ("b", 0.1)), 1.23456789e-4, is_unknown=True)
_PREDICTION = Prediction(Path("p"), (("good\nday", 0.87654321), ("b", 0.1)))


class FormattingTest(absltest.TestCase):
    def test_text_has_one_line_per_label(self):
        self.assertEqual(
            as_text(_PREDICTION, 5), "good\\nday (score = 0.87654)\nb (score = 0.10000)"
        )
        self.assertEqual(as_text(_PREDICTION, 1), "good\\nday (score = 0.87654)")

    def test_a_line_after_the_labels_says_that_an_image_is_unknown(self):
        for top, labels in (
            (1, ["a (score = 0.90000)"]),
            (5, ["a (score = 0.90000)", "b (score = 0.10000)"]),
        ):
            *first, last = as_text(_UNKNOWN, top, unknown_below=0.05).splitlines()
            self.assertEqual(first, labels)
            self.assertEqual(last, "none of these: familiarity 0.00012, below 0.05")

    def test_an_object_has_the_familiarity_if_the_classifier_states_it(self):
        fields = as_object("p", _UNKNOWN, 1)
        self.assertEqual((fields["familiarity"], fields["unknown"]), (0.000123457, True))
        familiar = as_object("p", dataclasses.replace(_UNKNOWN, is_unknown=False), 1)
        self.assertIs(familiar["unknown"], False)
        self.assertEqual(familiar["labels"], fields["labels"])

    def test_an_object_has_the_labels_under_both_keys(self):
        labels = [{"label": "good\nday", "score": 0.876543}, {"label": "b", "score": 0.1}]
        for top, listed in ((None, labels), (5, labels), (1, labels[:1])):
            self.assertEqual(
                as_object("p", _PREDICTION, top),
                {"image": "p", "labels": listed, "predictions": listed},
            )

    def test_an_unreadable_image_has_an_error(self):
        self.assertEqual(
            as_object("q", UnreadableImage(Path("q"), "why"), 5), {"image": "q", "error": "why"}
        )

    def test_json_is_an_array_of_objects(self):
        results = [("p", _PREDICTION), ("q", UnreadableImage(Path("q"), "why"))]
        self.assertEqual(
            json.loads(as_json(results, 1)), [as_object(name, r, 1) for name, r in results]
        )


if __name__ == "__main__":
    absltest.main()
