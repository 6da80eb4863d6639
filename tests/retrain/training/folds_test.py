"""Images are divided into folds by class, and groups are never divided."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.training.folds import ALWAYS_TRAINING, assign_folds, hold_out


def _alone(count: int) -> np.ndarray:
    return np.arange(count)


class FoldsTest(parameterized.TestCase):
    def test_each_class_is_spread_evenly(self):
        class_ids = np.repeat([0, 1, 2], [103, 20, 7])
        folds = assign_folds(class_ids, _alone(130), 5, seed=0)
        for class_id in range(3):
            counts = np.bincount(folds[class_ids == class_id], minlength=5)
            self.assertLessEqual(np.ptp(counts), 1)
        self.assertEqual(np.bincount(folds).tolist(), [26] * 5)

    def test_no_group_is_divided(self):
        rng = np.random.default_rng(1)
        class_ids, groups = rng.integers(0, 4, 300), rng.integers(0, 60, 300)
        folds = assign_folds(class_ids, groups, 5, seed=0)
        for group in range(60):
            self.assertLen(set(folds[groups == group]), 1)

    def test_large_groups_leave_folds_of_similar_size(self):
        groups = np.repeat(np.arange(12), [30, 20, 10, 10, 5, 5, 5, 5, 4, 3, 2, 1])
        folds = assign_folds(np.zeros(100, int), groups, 3, seed=0)
        counts = np.bincount(folds)
        self.assertLessEqual(counts.max() - counts.min(), 4)

    def test_every_fold_can_learn_all_classes(self):
        class_ids = np.repeat(np.arange(30), 3)
        for seed in range(10):
            folds = assign_folds(class_ids, _alone(90), 5, seed=seed)
            for fold in range(5):
                self.assertLen(set(class_ids[folds != fold]), 30)

    def test_many_small_classes_fill_all_folds(self):
        folds = assign_folds(np.repeat(np.arange(1000), 3), _alone(3000), 5, seed=0)
        self.assertEqual(np.bincount(folds).tolist(), [600] * 5)

    @parameterized.named_parameters(
        ("that_has_a_single_image", [0, 0, 0, 1], [0, 1, 2, 3]),
        ("whose_images_are_one_group", [0, 0, 0, 1, 1], [0, 1, 2, 3, 3]),
    )
    def test_a_class_is_never_held_out(self, class_ids, groups):
        class_ids = np.array(class_ids)
        folds = assign_folds(class_ids, np.array(groups), 3, seed=0)
        self.assertEqual(set(folds[class_ids == 1]), {ALWAYS_TRAINING})
        self.assertNotIn(ALWAYS_TRAINING, folds[class_ids == 0])

    def test_images_of_another_class_in_such_a_group_are_not_held_out_either(self):
        class_ids, groups = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 3, 3])
        folds = assign_folds(class_ids, groups, 3, seed=0)
        self.assertEqual(folds[3:].tolist(), [ALWAYS_TRAINING] * 3)
        self.assertNotIn(ALWAYS_TRAINING, folds[:3])

    def test_the_seed_determines_the_folds(self):
        class_ids = np.repeat([0, 1], 50)
        same, again, other = (
            assign_folds(class_ids, _alone(100), 5, seed=seed).tolist() for seed in (0, 0, 1)
        )
        self.assertEqual(same, again)
        self.assertNotEqual(same, other)

    @parameterized.named_parameters(
        ("groups", np.arange(41) // 2 * 2), ("images", np.arange(41)), ("images_by_default", None)
    )
    def test_every_image_is_held_out_once_except_the_only_one_of_a_class(self, groups):
        class_ids = np.repeat([0, 1, 2], [20, 20, 1])
        masks = hold_out(class_ids, groups, 4, seed=0)
        self.assertLen(masks, 4)
        self.assertEqual(np.sum(masks, axis=0).tolist(), [1] * 40 + [0])


if __name__ == "__main__":
    absltest.main()
