"""Every image is judged by a head that knows neither the image nor its group."""

from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from retrain.bottlenecks.features import Bottlenecks, SplitFeatures
from retrain.config import SplitOptions
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION, SplitPercentages
from retrain.errors import UserError
from retrain.training import cross_validation
from retrain.training.cross_validation import OutOfFold, cross_validate
from retrain.training.fold_head import fit_head
from retrain.training.folded_images import fold_images
from retrain.training_options import HeadOptions

_WIDTH = 40
_REGRESSION = HeadOptions()
_SGD = HeadOptions(solver="sgd", steps=60, train_batch_size=20)


def _features(
    features: np.ndarray,
    class_ids: np.ndarray,
    *,
    hashes: np.ndarray | None = None,
    variants: int = 1,
) -> Bottlenecks:
    """Returns three splits of images: of 8, 1 and 1 in ten."""
    hashes = np.arange(len(class_ids)) / 1000 if hashes is None else hashes
    rank = np.arange(len(class_ids)) % 10
    splits = {}
    for split, is_in in ((TRAINING, rank < 8), (VALIDATION, rank == 8), (TEST, rank == 9)):
        rows = np.flatnonzero(is_in)
        images = tuple(
            ImageFile(Path(f"/p/{row}.jpg"), int(class_ids[row]), split, hashes[row])
            for row in rows
        )
        own = features[rows, np.newaxis].astype(np.float16)
        if split == TRAINING and variants > 1:
            # Distorted variants with values that no image has.
            own = np.concatenate([own, np.full_like(own, 9).repeat(variants - 1, 1)], axis=1)
        splits[split] = SplitFeatures(images, own, class_ids[rows].astype(np.int64))
    names = tuple(f"class {number}" for number in range(int(class_ids.max()) + 1))
    images = tuple(image for part in splits.values() for image in part.images)
    percentages = SplitPercentages.from_options(SplitOptions())
    dataset = Dataset(Path("/p"), names, names, images, percentages)
    return Bottlenecks(dataset, "float32", splits, 0, {})


def _noise(count: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(seed).normal(size=(count, _WIDTH)), np.arange(count) % classes


def _validate(
    features: Bottlenecks, options: HeadOptions = _REGRESSION, folds: int = 5
) -> OutOfFold:
    return cross_validate(features, options, folds, stage_widths=())


class CrossValidationTest(parameterized.TestCase):
    def test_images_of_all_splits_are_judged_once(self):
        features, class_ids = _noise(90)
        features[:, :3] += 8 * np.eye(3)[class_ids]
        result = _validate(_features(features, class_ids))
        self.assertCountEqual(
            [image.path for image in result.images], [Path(f"/p/{row}.jpg") for row in range(90)]
        )
        self.assertEqual(result.evaluation.count, 90)
        self.assertGreater(result.evaluation.accuracy, 0.95)
        self.assertEqual(result.class_ids.tolist(), [image.class_id for image in result.images])
        self.assertEqual(result.probabilities.dtype, np.float32)
        np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-5)
        self.assertEqual(np.bincount(result.folds).tolist(), [18] * 5)
        self.assertEmpty(result.always_training)

    @parameterized.parameters(_REGRESSION, _SGD)
    def test_labels_that_cannot_be_predicted_are_not(self, options):
        # With more features than images, a head knows all images that it was trained on.
        features, class_ids = _noise(120, classes=2)
        result = _validate(_features(features, class_ids), options)
        self.assertBetween(result.evaluation.accuracy, 0.3, 0.7)

    def test_the_training_of_a_fold_sees_no_image_that_the_fold_judges(self):
        bottlenecks = _features(*_noise(60))
        seen = []

        def keep(training, options):
            seen.append({row.tobytes() for row in training.features})
            return fit_head(training, options)

        with mock.patch.object(cross_validation, "fit_head", keep):
            result = _validate(bottlenecks)
        vectors = {
            image.path: split.vectors[row].tobytes()
            for split in bottlenecks.splits.values()
            for row, image in enumerate(split.images)
        }
        self.assertLen(seen, 5)
        for fold in range(5):
            judged = {
                vectors[image.path]
                for image, own in zip(result.images, result.folds, strict=True)
                if own == fold
            }
            self.assertEqual(seen[fold], set(vectors.values()) - judged)

    def test_copies_of_an_image_do_not_flatter(self):
        features, class_ids = (np.repeat(array, 3, axis=0) for array in _noise(60, classes=2))
        groups = np.repeat(np.arange(60), 3) / 1000
        ungrouped = _validate(_features(features, class_ids)).evaluation
        together = _validate(_features(features, class_ids, hashes=groups)).evaluation
        self.assertGreater(ungrouped.accuracy, 0.9)
        self.assertLess(together.accuracy, 0.7)

    def test_groups_widen_the_interval(self):
        features, class_ids = (np.repeat(array, 3, axis=0) for array in _noise(60, classes=2))
        result = _validate(
            _features(features, class_ids, hashes=np.repeat(np.arange(60), 3) / 1000)
        )
        low, high = result.evaluation.interval
        # As that of 60 images, which are right or wrong three times, and 2.25 times the variance.
        self.assertBetween(high - low, 0.32, 0.42)

    def test_distorted_variants_only_train(self):
        features, class_ids = _noise(60)
        features[:, :3] += 8 * np.eye(3)[class_ids]
        bottlenecks = _features(features, class_ids, variants=4)
        folded = fold_images(bottlenecks, 5, stage_widths=(), seed=0)
        self.assertEqual(folded.training_set.features.shape, (240, _WIDTH))
        judged = folded.training_set.undistorted_features
        self.assertFalse((judged == 9).all(axis=1).any())
        # Images of other splits have no variants: copies stand for them.
        last = folded.training_set.features.reshape(60, 4, _WIDTH)[-1]
        np.testing.assert_array_equal(last, np.repeat(judged[-1:], 4, axis=0))
        self.assertEqual(_validate(bottlenecks).evaluation.count, 60)

    def test_a_class_with_one_image_is_trained_on_and_not_judged(self):
        features, class_ids = _noise(41, classes=2)
        class_ids = np.append(class_ids[:40], 2)
        result = _validate(_features(features, class_ids))
        self.assertEqual([image.path for image in result.always_training], [Path("/p/40.jpg")])
        self.assertEqual(result.evaluation.count, 40)
        self.assertEqual(result.probabilities.shape, (40, 3))

    def test_classes_can_have_fewer_images_than_there_are_folds(self):
        features, class_ids = _noise(30, classes=10)
        self.assertEqual(_validate(_features(features, class_ids), folds=10).evaluation.count, 30)

    def test_if_no_image_can_be_held_out_the_accuracy_is_unknown(self):
        features, class_ids = _noise(3)
        result = _validate(_features(features, class_ids), folds=2)
        self.assertIsNone(result.evaluation.accuracy)
        self.assertLen(result.always_training, 3)

    def test_more_folds_than_images_are_refused(self):
        with self.assertRaisesRegex(UserError, "--folds=31 is more than the number of images, 30;"):
            _validate(_features(*_noise(30)), folds=31)

    def test_images_in_folders_of_their_own_take_no_part(self):
        bottlenecks = _features(*_noise(40))
        test = bottlenecks.splits[TEST]
        images = tuple(ImageFile(i.path, i.class_id, TEST, None) for i in test.images)
        bottlenecks.splits[TEST] = SplitFeatures(images, test.variants, test.class_ids)
        result = _validate(bottlenecks)
        self.assertEqual(result.evaluation.count, 36)
        self.assertNoCommonElements(result.images, images)

    def test_the_same_seed_gives_the_same_bits(self):
        bottlenecks = _features(*_noise(40))
        first, second = (_validate(bottlenecks).probabilities for _ in range(2))
        np.testing.assert_array_equal(first, second)


if __name__ == "__main__":
    absltest.main()
