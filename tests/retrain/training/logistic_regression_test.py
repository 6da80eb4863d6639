"""The regression finds the minimum, chooses by the validation part, and folds what it did."""

import warnings

import numpy as np
from absl.testing import absltest

from retrain.training import logistic_regression


def _examples(seed: int, count: int, width: int = 20, spread: float = 1.5):
    rng = np.random.default_rng(seed)
    class_ids = rng.integers(0, 3, count)
    centres = np.random.default_rng(99).normal(0, 1, (3, width))
    features = centres[class_ids] + rng.normal(0, spread, (count, width))
    # Features as a network's: of very different sizes, and one that never changes.
    scales = np.geomspace(0.3, 3, width)
    features = features * scales + 3 * scales
    features[:, 5] = 7
    return features.astype(np.float32), class_ids


class LogisticRegressionTest(absltest.TestCase):
    def accuracy(self, head, examples) -> float:
        return float((head.logits(examples[0]).argmax(axis=1) == examples[1]).mean())

    def test_it_is_near_the_best_that_is_possible(self):
        head = logistic_regression.train(_examples(0, 600), _examples(1, 200), 3).head
        test = _examples(2, 3000)
        # With the true centres and equal spreads, the nearest centre is the best guess.
        centres = np.random.default_rng(99).normal(0, 1, (3, 20))
        scales = np.geomspace(0.3, 3, 20)
        standard = np.delete(test[0] / scales - 3, 5, axis=1)
        centres = np.delete(centres, 5, axis=1)
        nearest = ((standard[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        self.assertGreater(self.accuracy(head, test), (nearest == test[1]).mean() - 0.03)

    def test_the_strength_fits_the_data(self):
        strengths = [
            logistic_regression.train(
                _examples(0, 100, spread=spread), _examples(1, 300, spread=spread), 3
            ).strength
            for spread in (6, 0.7)
        ]
        self.assertLess(*strengths)

    def test_without_a_validation_part_it_still_learns(self):
        nothing = (np.zeros((0, 20), np.float32), np.zeros(0, np.int64))
        head = logistic_regression.train(_examples(0, 300), nothing, 3).head
        self.assertGreater(self.accuracy(head, _examples(2, 1000)), 0.7)

    def test_apart_validation_images_alone_judge(self):
        training, validation = _examples(0, 100, spread=6), _examples(1, 400, spread=6)
        # As of a network that has learned from them: the training images are all told apart.
        seen = training[0].copy()
        seen[:, :3] += 1000 * np.eye(3)[training[1]]
        fitted = logistic_regression.train((seen, training[1]), validation, 3, apart=True)
        np.testing.assert_array_equal(fitted.truth, validation[1])
        self.assertEqual(fitted.unseen.shape, (400, 3))
        errors = (fitted.unseen.argmax(axis=1) != validation[1]).sum()
        for _, head in logistic_regression.path((seen, training[1]), 3):
            of_it = (head.logits(validation[0]).argmax(axis=1) != validation[1]).sum()
            self.assertLessEqual(errors, of_it)
        np.testing.assert_allclose(fitted.head.logits(validation[0]), fitted.unseen, atol=1e-3)

    def test_small_classes_count_as_much_as_large_ones(self):
        features, class_ids = _examples(0, 2000, spread=3)
        keep = (class_ids != 2) | (np.arange(2000) < 200)
        head = logistic_regression.train(
            (features[keep], class_ids[keep]), _examples(1, 300, spread=3), 3
        ).head
        test = _examples(2, 3000, spread=3)
        predicted = head.logits(test[0]).argmax(axis=1)
        self.assertGreater((predicted == 2).mean(), 0.25)

    def test_a_feature_that_hardly_differs_is_not_enlarged(self):
        features, class_ids = _examples(0, 300)
        rng = np.random.default_rng(5)
        # What an engine of less precision makes of it: the sixth never changed while learning.
        features[:, 5] += rng.normal(0, 1e-4, len(features)).astype(np.float32)
        head = logistic_regression.train((features, class_ids), _examples(1, 200), 3).head
        test = _examples(2, 1000)
        noisy = test[0].copy()
        noisy[:, 5] += 0.01
        agree = head.logits(noisy).argmax(axis=1) == head.logits(test[0]).argmax(axis=1)
        self.assertGreater(agree.mean(), 0.99)

    def test_variants_count_as_one_image(self):
        training, validation = _examples(0, 100, spread=4), _examples(1, 100, spread=4)
        once = logistic_regression.train(training, validation, 3).head
        thrice = tuple(array.repeat(3, axis=0) for array in training)
        many = logistic_regression.train(thrice, validation, 3, variants=3).head
        np.testing.assert_allclose(many.weights, once.weights, atol=2e-2)

    def test_shares_move_the_decision(self):
        training, validation = _examples(0, 600, spread=4), _examples(1, 200, spread=4)
        test = _examples(2, 3000, spread=4)[0]
        predicted = []
        for shares in ([1 / 3] * 3, [0.1, 0.1, 0.8]):
            head = logistic_regression.train(training, validation, 3, shares=np.array(shares)).head
            predicted.append((head.logits(test).argmax(axis=1) == 2).mean())
        self.assertGreater(predicted[1], predicted[0] + 0.1)

    def test_every_image_is_judged_once_by_heads_that_have_not_seen_it(self):
        rng = np.random.default_rng(0)
        # Noise alone: who has seen an image knows it, and who has not can only guess.
        training = rng.normal(size=(120, 200)).astype(np.float32), rng.integers(0, 3, 120)
        validation = rng.normal(size=(40, 200)).astype(np.float32), rng.integers(0, 3, 40)
        fitted = logistic_regression.train(training, validation, 3)
        self.assertCountEqual(fitted.truth, [*training[1], *validation[1]])
        self.assertEqual(fitted.unseen.shape, (160, 3))
        self.assertLess((fitted.unseen.argmax(axis=1) == fitted.truth).mean(), 0.5)
        self.assertGreater(self.accuracy(fitted.head, training), 0.6)

    def test_variants_of_an_image_are_left_out_together(self):
        rng = np.random.default_rng(0)
        images, class_ids = rng.normal(size=(60, 200)), rng.integers(0, 3, 60)
        variants = images.repeat(4, axis=0) + rng.normal(0, 0.01, (240, 200))
        training = variants.astype(np.float32), class_ids.repeat(4)
        nothing = (np.zeros((0, 200), np.float32), np.zeros(0, np.int64))
        fitted = logistic_regression.train(training, nothing, 3, variants=4)
        self.assertLen(fitted.truth, 60)
        self.assertLess((fitted.unseen.argmax(axis=1) == fitted.truth).mean(), 0.55)

    def test_a_class_with_one_image_is_always_learned_from(self):
        features, class_ids = _examples(0, 200)
        keep = np.append(np.flatnonzero(class_ids != 2), np.argmax(class_ids == 2))
        few = features[keep], class_ids[keep]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fitted = logistic_regression.train(few, _examples(1, 50), 3)
        self.assertTrue(np.isfinite(fitted.head.weights).all())

    def test_many_images_are_chosen_by_some_of_every_class(self):
        features, class_ids = _examples(0, 25_000, width=8)
        class_ids = np.where(class_ids == 2, 0, class_ids)
        class_ids[7] = 2
        nothing = (np.zeros((0, 8), np.float32), np.zeros(0, np.int64))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fitted = logistic_regression.train((features, class_ids), nothing, 3)
        self.assertLess(len(fitted.truth), 25_000)
        self.assertTrue(np.isfinite(fitted.head.weights).all())

    def test_the_fewest_errors_on_unseen_images_win(self):
        with self.assertLogs(level="INFO") as logs:
            fitted = logistic_regression.train(
                _examples(0, 80, spread=3), _examples(1, 200, spread=3), 3
            )
        right = int((fitted.unseen.argmax(axis=1) == fitted.truth).sum())
        self.assertIn(f"{right} of 280 images get the right label", logs.output[-1])

    def test_the_same_data_give_the_same_bits(self):
        heads = [
            logistic_regression.train(_examples(0, 300), _examples(1, 99), 3).head for _ in "ab"
        ]
        np.testing.assert_array_equal(heads[0].weights, heads[1].weights)
        np.testing.assert_array_equal(heads[0].bias, heads[1].bias)
        self.assertEqual((heads[0].weights.dtype, heads[0].weights.shape), (np.float32, (20, 3)))


if __name__ == "__main__":
    absltest.main()
