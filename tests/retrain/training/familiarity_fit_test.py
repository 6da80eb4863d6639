"""Tests that familiarity separates images of the classes from others, with many images and few."""

import dataclasses

import numpy as np
from absl.testing import absltest, parameterized

from retrain.bottlenecks.reduced_features import ReducedCopies
from retrain.runtimes import familiarity_packing
from retrain.training import familiarity_model
from retrain.training.familiarity_fit import fit_familiarity
from retrain.training.familiarity_model import LabeledFeatures

_WIDTH = 64
_NO_COPIES = ReducedCopies(np.empty(0, np.int64), np.empty((0, _WIDTH), np.float16))


def _draw(count: int, class_count: int, *, seed: int = 0, noise: float = 0.3) -> LabeledFeatures:
    """Draws features of images: each class varies around a direction of its own."""
    directions = np.abs(np.random.default_rng(0).normal(size=(class_count, _WIDTH)))
    rng = np.random.default_rng(seed)
    class_ids = np.arange(count) % class_count
    # A few directions vary more than others, as in the features of networks.
    scales = noise * (1 + 3 * (np.arange(_WIDTH) < 4))
    features = directions[class_ids] + scales * rng.normal(size=(count, _WIDTH))
    return LabeledFeatures((rng.uniform(1, 9, (count, 1)) * features).astype(np.float16), class_ids)


def _draw_others(count: int) -> np.ndarray:
    rng = np.random.default_rng(9)
    return np.abs(rng.normal(size=(count, _WIDTH))).astype(np.float16)


def _fit(
    examples: LabeledFeatures, *, class_count: int, copies: ReducedCopies = _NO_COPIES, **options
):
    groups = np.arange(len(examples.class_ids))
    return fit_familiarity([examples], groups, copies, class_count=class_count, **options)


class FitFamiliarityTest(parameterized.TestCase):
    @parameterized.parameters(2, 5, 20)
    def test_95_percent_of_new_images_of_the_classes_and_no_others_reach_5_percent(self, classes):
        familiarity = _fit(_draw(600, classes), class_count=classes)
        new = familiarity.scores(_draw(2000, classes, seed=1).features)
        self.assertBetween((new >= 0.05).mean(), 0.93, 0.975)
        self.assertBetween((new >= 0.5).mean(), 0.45, 0.6)
        self.assertLess((familiarity.scores(_draw_others(500)) >= 0.05).mean(), 0.01)

    def test_more_images_than_are_used_for_the_covariance_have_the_same_scores(self):
        few, many = _draw(2500, 5), _draw(7000, 5)
        new = _draw(300, 5, seed=1).features
        np.testing.assert_allclose(
            _fit(many, class_count=5).scores(new), _fit(few, class_count=5).scores(new), atol=0.08
        )
        # Images in several parts are like images in one.
        parts = [
            LabeledFeatures(*(array[part] for array in many)) for part in (slice(9), slice(9, None))
        ]
        together = fit_familiarity(parts, np.arange(7000), _NO_COPIES, class_count=5)
        np.testing.assert_allclose(
            together.scores(new), _fit(many, class_count=5).scores(new), rtol=1e-2, atol=1e-3
        )

    def test_copies_in_reduced_quality_are_familiar_too(self):
        examples = _draw(600, 5)
        shift = 2 * np.abs(np.random.default_rng(5).normal(size=_WIDTH))

        def reduce(features: np.ndarray) -> np.ndarray:
            return (features + shift * np.linalg.norm(features, axis=1, keepdims=True) / 12).astype(
                np.float16
            )

        rows = np.arange(0, 600, 11)
        copies = ReducedCopies(rows, reduce(examples.features[rows]))
        new = reduce(_draw(1000, 5, seed=1).features)
        without = _fit(examples, class_count=5)
        self.assertLess((without.scores(new) >= 0.05).mean(), 0.5)
        self.assertGreater(
            (_fit(examples, class_count=5, copies=copies).scores(new) >= 0.05).mean(), 0.88
        )

    def test_groups_are_held_out_as_a_whole(self):
        # Each image exists ten times. Copies of an image would make it look familiar.
        single = _draw(60, 2)
        repeated = LabeledFeatures(single.features.repeat(10, axis=0), single.class_ids.repeat(10))
        groups = np.arange(60).repeat(10)
        grouped = fit_familiarity([repeated], groups, _NO_COPIES, class_count=2)
        separate = fit_familiarity([repeated], np.arange(600), _NO_COPIES, class_count=2)
        new = _draw(1000, 2, seed=1).features
        self.assertGreater((grouped.scores(new) >= 0.05).mean(), 0.9)
        self.assertLess((separate.scores(new) >= 0.05).mean(), 0.9)

    def test_other_images_can_give_the_distances_their_meaning(self):
        # A fine-tuned backbone brings the images that it learned from nearer to each other.
        learned, new = _draw(400, 4, noise=0.05), _draw(400, 4, seed=1)
        held_out = new.features[:200]
        familiarity = _fit(learned, class_count=4, held_out=held_out)
        self.assertBetween((familiarity.scores(new.features[200:]) >= 0.05).mean(), 0.88, 1)
        self.assertLess((_fit(learned, class_count=4).scores(held_out) >= 0.05).mean(), 0.2)

    @parameterized.parameters((20, 2), (12, 3), (4, 2))
    def test_few_images(self, count: int, classes: int):
        familiarity = _fit(_draw(count, classes), class_count=classes)
        new = familiarity.scores(_draw(500, classes, seed=1).features)
        others = familiarity.scores(_draw_others(500))
        self.assertGreater((new >= 0.05).mean(), 0.8)
        self.assertGreater(np.median(new), 4 * np.median(others))

    def test_a_class_with_one_image_among_others(self):
        examples = _draw(100, 3)
        rows = np.flatnonzero((examples.class_ids != 2) | (np.arange(100) == 2))
        familiarity = _fit(LabeledFeatures(*(array[rows] for array in examples)), class_count=3)
        new = _draw(300, 3, seed=1)
        scores = familiarity.scores(new.features)
        self.assertGreater((scores[new.class_ids != 2] >= 0.05).mean(), 0.85)
        self.assertTrue(np.isfinite(scores).all())

    def test_one_image_of_each_class_says_nothing_which_is_logged(self):
        with self.assertLogs(level="WARNING") as logs:
            self.assertIsNone(_fit(_draw(5, 5), class_count=5))
        self.assertIn("each class has a single image", logs.output[0])

    @parameterized.parameters(4, 40)
    def test_equal_images_do_not_divide_by_zero(self, count: int):
        features = np.ones((count, _WIDTH), np.float16)
        with np.errstate(divide="raise", invalid="raise"):
            familiarity = _fit(LabeledFeatures(features, np.arange(count) % 2), class_count=2)
        # Rounding errors of another program hardly change the result.
        other = features.astype(np.float32) * (1 + 1e-6 * (np.arange(_WIDTH) % 3))
        np.testing.assert_allclose(
            familiarity.scores(features[:1]), familiarity.scores(other[:1]), atol=5e-3
        )
        self.assertLess(familiarity.scores(_draw_others(1))[0], 0.05)

    def test_a_class_without_images_is_no_reason_to_fail(self):
        familiarity = _fit(_draw(100, 2), class_count=4)
        self.assertEqual(len(familiarity.means), 4)
        self.assertGreater((familiarity.scores(_draw(99, 2).features) >= 0.05).mean(), 0.9)

    def test_a_thousand_classes_need_less_than_1_mb_and_stay_apart_from_others(self):
        rng = np.random.default_rng(0)
        directions = np.abs(rng.normal(size=(1000, 400)))
        class_ids = np.arange(6000) % 1000
        features = (directions[class_ids] + 0.3 * rng.normal(size=(6000, 400))).astype(np.float16)
        groups = np.arange(6000)
        copies = ReducedCopies(groups[:0], features[:0])
        training = LabeledFeatures(features[:5000], class_ids[:5000])
        familiarity = fit_familiarity([training], groups[:5000], copies, class_count=1000)
        known = familiarity.scores(features[5000:])
        self.assertGreater((known >= 0.05).mean(), 0.9)
        unrelated = np.abs(rng.normal(size=(500, 400))) * (1 + np.arange(400) % 2)
        self.assertLess((familiarity.scores(unrelated) >= 0.05).mean(), 0.01)
        packed = familiarity_packing.pack(familiarity)
        self.assertLess(sum(len(str(value)) for value in packed.values()), 1_000_000)

    def test_files_store_it_without_a_change(self):
        familiarity = _fit(_draw(300, 3), class_count=3)
        unpacked = familiarity_packing.unpack(familiarity_packing.pack(familiarity), classes=3)
        for field in dataclasses.fields(familiarity):
            np.testing.assert_array_equal(
                getattr(unpacked, field.name), getattr(familiarity, field.name), field.name
            )

    def test_the_same_images_give_the_same_familiarity(self):
        first, second = (_fit(_draw(3500, 3), class_count=3) for _ in range(2))
        np.testing.assert_array_equal(first.basis, second.basis)
        np.testing.assert_array_equal(first.distances, second.distances)


class RankTest(absltest.TestCase):
    def test_the_matrices_stay_within_their_size_for_any_number_of_classes(self):
        for classes in (2, 300, 5000):
            with self.subTest(classes):
                familiarity = _fit(_draw(3 * classes, classes), class_count=classes)
                values = familiarity.basis.size + familiarity.means.size
                self.assertLessEqual(values, familiarity_model._MAX_VALUES)


if __name__ == "__main__":
    absltest.main()
