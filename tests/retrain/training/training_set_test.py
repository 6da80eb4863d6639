"""Images of a training set are selected with all their variants, and subsets have all classes."""

import numpy as np
from absl.testing import absltest

from retrain.training.training_set import TrainingSet


def _training_set(image_class_ids: np.ndarray, variants: int) -> TrainingSet:
    class_ids = image_class_ids.repeat(variants)
    features = np.random.default_rng(0).normal(size=(len(class_ids), 8)).astype(np.float32)
    return TrainingSet(features, class_ids, class_count=3, variants=variants, stage_widths=(2, 1))


class TrainingSetTest(absltest.TestCase):
    def test_images_are_selected_with_all_their_variants(self):
        training = _training_set(np.arange(6) % 3, variants=2)
        for images in (np.array([4, 1]), np.isin(np.arange(6), [1, 4])):
            selected = training.select_images(images)
            self.assertLen(selected.features, 4)
            self.assertCountEqual(selected.image_class_ids, training.image_class_ids[[1, 4]])
            np.testing.assert_array_equal(selected.undistorted_features, selected.features[[0, 2]])

    def test_a_sample_has_whole_images_of_every_class(self):
        class_ids = np.array([0] * 50 + [1] * 30 + [2])
        training = _training_set(class_ids, variants=2)
        sample = training.sample(20, seed=0)
        self.assertLen(sample.features, 20)
        self.assertEqual(set(sample.class_ids), {0, 1, 2})
        np.testing.assert_array_equal(sample.class_ids[::2], sample.class_ids[1::2])
        self.assertIs(training.sample(162, seed=0), training)

    def test_without_stages_the_features_of_the_last_layer_remain(self):
        training = _training_set(np.arange(6) % 3, variants=1)
        last_layer = training.without_stages()
        np.testing.assert_array_equal(last_layer.features, training.features[:, :5])
        self.assertEqual(last_layer.stage_widths, ())


if __name__ == "__main__":
    absltest.main()
