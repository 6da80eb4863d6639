"""Labels are judged by heads that did not see them, and exchanged labels come first."""

import numpy as np
from absl.testing import absltest

from retrain.data_check import label_errors


def _blobs(count: int, classes: int, width: int = 12, seed: int = 0):
    rng = np.random.default_rng(seed)
    class_ids = np.arange(count) % classes
    centres = 3 * rng.standard_normal((classes, width))
    features = centres[class_ids] + rng.standard_normal((count, width))
    return features.astype(np.float16), class_ids


class ScoreLabelsTest(absltest.TestCase):
    def test_each_image_is_left_out_of_its_own_fit(self):
        features, class_ids = _blobs(30, 3)
        scores = label_errors.score_labels(features, class_ids, 3)
        x = features.astype(np.float64)
        x = (x - x.mean(axis=0)) / x.std(axis=0)
        targets = np.eye(3)[class_ids]
        for left_out in range(30):
            rest = np.arange(30) != left_out
            # The centre and the penalty are those of all images.
            centred, shifted = x[rest], targets[rest] - targets.mean(axis=0)
            design = np.column_stack([centred, np.ones(29)])
            penalty = np.diag([3.0 * 30] * x.shape[1] + [0.0])
            head = np.linalg.solve(design.T @ design + penalty, design.T @ shifted)
            outputs = np.append(x[left_out], 1) @ head + targets.mean(axis=0)
            own = class_ids[left_out]
            others = np.delete(outputs, own)
            self.assertAlmostEqual(scores.margins[left_out], outputs[own] - others.max(), places=3)

    def test_exchanged_labels_come_first(self):
        features, class_ids = _blobs(400, 4)
        wrong = np.arange(0, 400, 25)
        class_ids = class_ids.copy()
        right = class_ids[wrong]
        class_ids[wrong] = (right + 1) % 4
        scores = label_errors.score_labels(features, class_ids, 4)
        self.assertCountEqual(np.argsort(scores.margins)[: len(wrong)], wrong)
        np.testing.assert_array_equal(scores.predictions[wrong], right)
        self.assertLess(scores.margins[wrong].max(), label_errors.PROBABLY_WRONG)

    def test_small_classes_are_not_suspicious_because_they_are_small(self):
        features, class_ids = _blobs(200, 2)
        kept = np.flatnonzero((class_ids == 0) | (np.arange(200) < 12))
        scores = label_errors.score_labels(features[kept], class_ids[kept], 2)
        self.assertGreater(scores.margins.min(), 0)

    def test_equal_images_are_not_suspicious(self):
        features = np.ones((40, 8), np.float16)
        scores = label_errors.score_labels(features, np.arange(40) % 2, 2)
        self.assertGreater(scores.margins.min(), label_errors.PROBABLY_WRONG)

    def test_a_thousand_classes(self):
        features, class_ids = _blobs(5000, 1000, width=40)
        scores = label_errors.score_labels(features, class_ids, 1000)
        self.assertEqual(scores.margins.shape, (5000,))
        self.assertTrue(np.isfinite(scores.margins).all())


if __name__ == "__main__":
    absltest.main()
