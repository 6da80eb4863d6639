"""Mistakes are shown for the predictions of cross-validation, or if there are none, of the test."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.report.held_out import select_held_out
from retrain.training.results import HeadResult
from tests.support import sample_run


def _result(*, cross_validated: bool = True) -> HeadResult:
    run = sample_run.make_run(
        Path(tempfile.gettempdir()),
        ["cat", "dog"],
        cross_validated=cross_validated,
        draw_images=False,
    )
    return run.results.primary


class HeldOutTest(absltest.TestCase):
    def assert_are_those_of_the_test(self, result: HeadResult):
        held_out = select_held_out(result)
        self.assertEqual(held_out.fold_count, 0)
        self.assertEqual(held_out.images, result.test_features.images)
        self.assertIs(held_out.evaluation, result.test)
        expected = result.head.probabilities(result.test_features.vectors)
        np.testing.assert_array_equal(held_out.probabilities, expected)
        np.testing.assert_array_equal(held_out.class_ids, result.test_features.class_ids)

    def test_cross_validation_judges_all_images(self):
        result = _result()
        held_out = select_held_out(result)
        self.assertEqual(held_out.fold_count, sample_run.FOLDS)
        self.assertEqual(held_out.images, result.features.dataset.images)
        np.testing.assert_array_equal(held_out.right, held_out.predicted == held_out.class_ids)
        self.assertBetween(held_out.right.mean(), 0.3, 0.95)

    def test_without_cross_validation_the_test_images_are_judged(self):
        self.assert_are_those_of_the_test(_result(cross_validated=False))

    def test_a_cross_validation_that_judged_no_image_does_not_count(self):
        result = _result()
        nothing = dataclasses.replace(
            result.out_of_fold,
            images=(),
            class_ids=np.zeros(0, np.int64),
            probabilities=np.zeros((0, 2), np.float32),
        )
        self.assert_are_those_of_the_test(dataclasses.replace(result, out_of_fold=nothing))


if __name__ == "__main__":
    absltest.main()
