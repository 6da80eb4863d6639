"""The selected strength fits the data, and no image is judged by a head fitted to it."""

import dataclasses
import warnings
from unittest import mock

import numpy as np
from absl.testing import absltest

from retrain.training import strength_selection
from retrain.training.logistic_regression import fit_path
from retrain.training.losses import cross_entropies_of_logits
from retrain.training.strength_selection import SelectedHead, fit_with_selected_strength
from retrain.training.training_set import TrainingSet


def _examples(seed: int, count: int, width: int = 20, spread: float = 1.5):
    rng = np.random.default_rng(seed)
    class_ids = rng.integers(0, 3, count)
    centres = np.random.default_rng(99).normal(0, 1, (3, width))
    features = centres[class_ids] + rng.normal(0, spread, (count, width))
    # Features of very different scales, as those of a network, and one that is constant.
    scales = np.geomspace(0.3, 3, width)
    features = features * scales + 3 * scales
    features[:, 5] = 7
    return features.astype(np.float32), class_ids


def _fit(
    training, validation, *, class_shares=None, variants=1, stage_widths=(), **options
) -> SelectedHead:
    features, class_ids = training
    data = TrainingSet(features, class_ids, 3, class_shares, variants, stage_widths)
    return fit_with_selected_strength(data, validation, **options)


class StrengthSelectionTest(absltest.TestCase):
    def accuracy_of(self, logits, class_ids) -> float:
        return float((logits.argmax(axis=1) == class_ids).mean())

    def accuracy(self, head, examples) -> float:
        return self.accuracy_of(head.logits(examples[0]), examples[1])

    def held_out_accuracy(self, selected: SelectedHead) -> float:
        return float(
            (selected.held_out_logits.argmax(axis=1) == selected.held_out_class_ids).mean()
        )

    def test_accuracy_is_close_to_the_best_possible(self):
        head = _fit(_examples(0, 600), _examples(1, 200)).head
        test = _examples(2, 3000)
        # With the true centres and equal spreads, the nearest centre is the best prediction.
        centres = np.random.default_rng(99).normal(0, 1, (3, 20))
        scales = np.geomspace(0.3, 3, 20)
        standard = np.delete(test[0] / scales - 3, 5, axis=1)
        centres = np.delete(centres, 5, axis=1)
        nearest = ((standard[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        self.assertGreater(self.accuracy(head, test), (nearest == test[1]).mean() - 0.03)

    def test_noisy_data_get_a_stronger_penalty(self):
        strengths = [
            _fit(_examples(0, 100, spread=spread), _examples(1, 300, spread=spread)).strength
            for spread in (6, 0.7)
        ]
        self.assertLess(*strengths)

    def test_without_validation_images_it_still_learns(self):
        nothing = (np.zeros((0, 20), np.float32), np.zeros(0, np.int64))
        head = _fit(_examples(0, 300), nothing).head
        self.assertGreater(self.accuracy(head, _examples(2, 1000)), 0.7)

    def test_validation_only_selects_by_validation_images_alone(self):
        training, validation = _examples(0, 100, spread=6), _examples(1, 400, spread=6)
        # As with a fine-tuned backbone: the training images are perfectly separable.
        seen = training[0].copy()
        seen[:, :3] += 1000 * np.eye(3)[training[1]]
        selected = _fit((seen, training[1]), validation, validation_only=True)
        np.testing.assert_array_equal(selected.held_out_class_ids, validation[1])
        self.assertEqual(selected.held_out_logits.shape, (400, 3))
        loss = cross_entropies_of_logits(selected.held_out_logits, validation[1]).mean()
        for head in fit_path(TrainingSet(seen, training[1], 3)):
            logits = head.logits(validation[0])
            other_loss = cross_entropies_of_logits(logits, validation[1]).mean()
            self.assertLessEqual(loss, other_loss + 1e-6)
        np.testing.assert_allclose(
            selected.head.logits(validation[0]), selected.held_out_logits, atol=1e-3
        )

    def test_features_of_earlier_stages_are_used_if_they_help(self):
        features, class_ids = _examples(0, 300, spread=3)
        more = np.eye(3, dtype=np.float32)[class_ids] / 100
        for stage, is_used in ((more, True), (np.zeros_like(more), False)):
            noise = np.random.default_rng(3).normal(0, 0.003, stage.shape).astype(np.float32)
            joined = np.hstack([features, stage + noise])
            empty = joined[:0], class_ids[:0]
            selected = _fit((joined, class_ids), empty, stage_widths=(3,))
            self.assertEqual(selected.head.weights.shape, (joined.shape[1], 3))
            self.assertEqual(selected.head.weights[-3:].any(), is_used)
            self.assertEqual(selected.held_out_logits.shape, (300, 3))

    def test_large_data_sets_use_features_of_earlier_stages_only_if_they_help(self):
        features, class_ids = _examples(0, 600, spread=3)
        noise = np.random.default_rng(3).normal(0, 1, (600, 40)).astype(np.float32)
        helpful = noise + 3 * np.eye(40, dtype=np.float32)[class_ids]
        for stage, is_used in ((noise, False), (helpful, True)):
            joined = np.hstack([features, stage])
            with (
                mock.patch.object(strength_selection, "_MAX_ROWS_TO_SELECT_FEATURES_BY", 200),
                mock.patch.object(strength_selection, "_MAX_ROWS_TO_SELECT_STRENGTH_BY", 300),
            ):
                validation = joined[:250], class_ids[:250]
                selected = _fit((joined, class_ids), validation, stage_widths=(40,))
            self.assertEqual(selected.head.weights.shape, (60, 3))
            self.assertTrue(selected.head.weights[:20].any())
            self.assertEqual(selected.head.weights[20:].any(), is_used)
            self.assertLen(selected.held_out_class_ids, 300 + 250)

    def test_a_small_advantage_in_a_few_images_does_not_select_earlier_stages(self):
        def count_selected() -> int:
            count = 0
            for seed in range(12):
                features, class_ids = _examples(seed, 24, spread=3)
                noise = np.random.default_rng(seed).normal(0, 1, (24, 4)).astype(np.float32)
                joined = np.hstack([features, noise])
                empty = joined[:0], class_ids[:0]
                count += _fit((joined, class_ids), empty, stage_widths=(4,)).uses_stages
            return count

        with mock.patch.object(strength_selection, "_MIN_ADVANTAGE", 0):
            by_chance = count_selected()
        self.assertLess(count_selected(), by_chance)

    def test_small_classes_count_as_much_as_large_ones(self):
        features, class_ids = _examples(0, 2000, spread=3)
        keep = (class_ids != 2) | (np.arange(2000) < 200)
        head = _fit((features[keep], class_ids[keep]), _examples(1, 300, spread=3)).head
        test = _examples(2, 3000, spread=3)
        predicted = head.logits(test[0]).argmax(axis=1)
        self.assertGreater((predicted == 2).mean(), 0.25)

    def test_a_nearly_constant_feature_is_not_scaled_up(self):
        features, class_ids = _examples(0, 300)
        rng = np.random.default_rng(5)
        # The sixth feature is constant except for noise, as from an engine of lower precision.
        features[:, 5] += rng.normal(0, 1e-4, len(features)).astype(np.float32)
        head = _fit((features, class_ids), _examples(1, 200)).head
        test = _examples(2, 1000)
        noisy = test[0].copy()
        noisy[:, 5] += 0.01
        agree = head.logits(noisy).argmax(axis=1) == head.logits(test[0]).argmax(axis=1)
        self.assertGreater(agree.mean(), 0.99)

    def test_variants_of_an_image_count_as_one(self):
        training, validation = _examples(0, 100, spread=4), _examples(1, 100, spread=4)
        once = _fit(training, validation).head
        thrice = tuple(array.repeat(3, axis=0) for array in training)
        many = _fit(thrice, validation, variants=3).head
        np.testing.assert_allclose(many.weights, once.weights, atol=2e-2)

    def test_class_shares_shift_the_predictions(self):
        training, validation = _examples(0, 600, spread=4), _examples(1, 200, spread=4)
        test = _examples(2, 3000, spread=4)[0]
        predicted = []
        for shares in ([1 / 3] * 3, [0.1, 0.1, 0.8]):
            head = _fit(training, validation, class_shares=np.array(shares)).head
            predicted.append((head.logits(test).argmax(axis=1) == 2).mean())
        self.assertGreater(predicted[1], predicted[0] + 0.1)

    def test_every_image_is_held_out_of_one_fold(self):
        rng = np.random.default_rng(0)
        # Pure noise: a head knows the images it was fitted to, and can only guess all others.
        training = rng.normal(size=(120, 200)).astype(np.float32), rng.integers(0, 3, 120)
        validation = rng.normal(size=(40, 200)).astype(np.float32), rng.integers(0, 3, 40)
        selected = _fit(training, validation)
        self.assertCountEqual(selected.held_out_class_ids, [*training[1], *validation[1]])
        self.assertEqual(selected.held_out_logits.shape, (160, 3))
        self.assertLess(self.held_out_accuracy(selected), 0.5)
        self.assertGreater(self.accuracy(selected.head, training), 0.6)

    def test_variants_of_an_image_are_held_out_together(self):
        rng = np.random.default_rng(0)
        images, class_ids = rng.normal(size=(60, 200)), rng.integers(0, 3, 60)
        variants = images.repeat(4, axis=0) + rng.normal(0, 0.01, (240, 200))
        training = variants.astype(np.float32), class_ids.repeat(4)
        nothing = (np.zeros((0, 200), np.float32), np.zeros(0, np.int64))
        selected = _fit(training, nothing, variants=4)
        self.assertLen(selected.held_out_class_ids, 60)
        self.assertLess(self.held_out_accuracy(selected), 0.55)

    def test_the_only_image_of_a_class_is_never_held_out(self):
        features, class_ids = _examples(0, 200)
        keep = np.append(np.flatnonzero(class_ids != 2), np.argmax(class_ids == 2))
        few = features[keep], class_ids[keep]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            selected = _fit(few, _examples(1, 50))
        self.assertTrue(np.isfinite(selected.head.weights).all())

    def test_a_large_training_set_is_judged_by_a_subset_with_all_classes(self):
        features, class_ids = _examples(0, 25_000, width=8)
        class_ids = np.where(class_ids == 2, 0, class_ids)
        class_ids[7] = 2
        nothing = (np.zeros((0, 8), np.float32), np.zeros(0, np.int64))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            selected = _fit((features, class_ids), nothing)
        self.assertLess(len(selected.held_out_class_ids), 25_000)
        self.assertTrue(np.isfinite(selected.head.weights).all())

    def test_no_group_is_divided_by_the_folds(self):
        # Each image three times: a head that has seen a copy of an image knows its label.
        examples = _examples(0, 60, width=200, spread=20)
        features, class_ids = (np.repeat(array, 3, axis=0) for array in examples)
        data = TrainingSet(features, class_ids, 3)
        nothing = (features[:0], class_ids[:0])
        divided, together = (
            fit_with_selected_strength(dataclasses.replace(data, groups=groups), nothing)
            for groups in (None, np.repeat(np.arange(60), 3))
        )
        self.assertGreater(self.held_out_accuracy(divided), 0.9)
        self.assertLess(self.held_out_accuracy(together), 0.8)

    def test_without_any_held_out_image_a_default_strength_is_used_with_a_warning(self):
        features, class_ids = _examples(0, 200)
        first = np.array([np.argmax(class_ids == class_id) for class_id in range(3)])
        nothing = (np.zeros((0, 20), np.float32), np.zeros(0, np.int64))
        with self.assertLogs(level="WARNING") as logs:
            selected = _fit((features[first], class_ids[first]), nothing)
        self.assertIn("No image could be held out", logs.output[0])
        self.assertEqual(selected.strength, 0.1)
        # The smallest strength, which would win a tie, gives nearly uniform scores.
        scores = selected.head.probabilities(features[first]).max(axis=1)
        self.assertGreater(scores.min(), 0.5)

    def test_the_same_data_give_the_same_bits(self):
        heads = [_fit(_examples(0, 300), _examples(1, 99)).head for _ in "ab"]
        np.testing.assert_array_equal(heads[0].weights, heads[1].weights)
        np.testing.assert_array_equal(heads[0].bias, heads[1].bias)
        self.assertEqual((heads[0].weights.dtype, heads[0].weights.shape), (np.float32, (20, 3)))


if __name__ == "__main__":
    absltest.main()
