"""Class weights set the share of each class in the loss, whatever its number of images."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.training import class_weights, sgd
from retrain.training.strength_selection import fit_with_selected_strength
from retrain.training.training_set import TrainingSet
from retrain.training_options import HeadOptions

_LABELS = ("rare", "common")
_COUNTS = np.array([10, 90])


def indistinguishable() -> tuple[np.ndarray, np.ndarray]:
    """Returns examples from which only the class frequencies can be learned."""
    return np.zeros((_COUNTS.sum(), 3), np.float32), np.arange(2).repeat(_COUNTS)


class SharesTest(parameterized.TestCase):
    @parameterized.parameters(
        ("balanced", (0.5, 0.5)),
        ("by_pictures", (0.1, 0.9)),
        ("rare=3", (0.75, 0.25)),
        ("common=0.25", (0.8, 0.2)),
        ("rare=1,common=9", (0.1, 0.9)),
        (" rare = 3 , common=1e0", (0.75, 0.25)),
    )
    def test_shares_follow_the_text(self, text, shares):
        class_weights.check(text)
        found = class_weights.compute_shares(text, _LABELS, _COUNTS)
        np.testing.assert_allclose(found, shares)

    @parameterized.parameters(
        ("balanced", 0.5), ("by_pictures", 0.1), ("rare=3", 0.75), ("common=4", 0.2)
    )
    def test_both_solvers_learn_the_shares(self, text, rare_share):
        shares = class_weights.compute_shares(text, _LABELS, _COUNTS)
        examples = indistinguishable()
        nothing = examples[0][:0], examples[1][:0]
        training = TrainingSet(*examples, class_count=2, class_shares=shares)
        regressed = fit_with_selected_strength(training, nothing).head
        options = HeadOptions(steps=2000, learning_rate=0.1, train_batch_size=200)
        descended = sgd.train(examples, nothing, 2, options, class_shares=shares)
        for trained, delta in ((regressed, 0.01), (descended, 0.05)):
            (scores,) = trained.probabilities(examples[0][:1])
            self.assertAlmostEqual(scores[0], rare_share, delta=delta)

    def test_labels_may_have_spaces_and_equals_signs(self):
        found = class_weights.compute_shares(
            "a b=2,c=d=5", ("a b", "c=d", "e"), np.array([1, 1, 1])
        )
        np.testing.assert_allclose(found, np.array([2, 5, 1]) / 8)

    def test_folders_stand_for_their_labels(self):
        labels, folders, counts = ("a 1", "b", "c"), ("A_1", "B", "b"), np.array([1, 1, 1])
        for text, wanted in (("A_1=2", (2, 1, 1)), ("a 1=2,B=5", (2, 5, 1)), ("b=3", (1, 3, 1))):
            class_weights.check_labels(text, labels, folders)
            found = class_weights.compute_shares(text, labels, counts, folders=folders)
            np.testing.assert_allclose(found, np.array(wanted) / sum(wanted))

    def test_huge_and_tiny_weights_sum_up_to_one(self):
        for text in ("rare=1e308,common=1e308", "rare=1e-320"):
            found = class_weights.compute_shares(text, _LABELS, _COUNTS)
            self.assertAlmostEqual(found.sum(), 1)


class MistakesTest(parameterized.TestCase):
    def assert_one_line(self, error: UserError, *parts: str) -> None:
        self.assertNotIn("\n", str(error))
        for part in parts:
            self.assertIn(part, str(error))

    @parameterized.parameters(
        ("", "''"),
        ("equal", "'equal'"),
        ("Balanced", "'Balanced'"),
        ("rare", "'rare'"),
        ("rare=", "'rare='"),
        ("rare=much", "'rare=much'"),
        ("rare=0", "'rare=0'"),
        ("rare=-1", "'rare=-1'"),
        ("rare=nan", "'rare=nan'"),
        ("rare=inf", "'rare=inf'"),
        ("rare=1e999", "'rare=1e999'"),
        ("rare=2,", "''"),
        ("common=1,rare=x", "'rare=x'"),
        ("rare=2,rare=3", "'rare=3'"),
        ("=2", "'=2'"),
    )
    def test_text_that_cannot_be_parsed_is_refused_with_valid_examples(self, text, at):
        with self.assertRaises(UserError) as caught:
            class_weights.check(text)
        self.assert_one_line(
            caught.exception, f"--class_weights={text} ", at, "balanced, by_pictures, or"
        )
        with self.assertRaises(UserError):
            class_weights.compute_shares(text, _LABELS, _COUNTS)

    def test_an_unknown_label_is_refused_with_the_known_ones(self):
        class_weights.check("raer=2")
        with self.assertRaises(UserError) as caught:
            class_weights.compute_shares("rare=2,raer=3", _LABELS, _COUNTS)
        self.assert_one_line(
            caught.exception, "--class_weights=rare=2,raer=3", "'raer'", "rare, common"
        )
        with self.assertRaises(UserError) as early:
            class_weights.check_labels("rare=2,raer=3", _LABELS, ("Rare", "Common"))
        self.assertEqual(str(early.exception), str(caught.exception))
        for named_alike in ("balanced", "by_pictures"):
            class_weights.check_labels(named_alike, _LABELS, ("Rare", "Common"))

    def test_a_class_named_by_label_and_by_folder_is_refused(self):
        with self.assertRaises(UserError) as caught:
            class_weights.check_labels("rare=2,Rare=3", _LABELS, ("Rare", "Common"))
        self.assert_one_line(caught.exception, "contains 'rare' twice", "balanced, by_pictures, or")


if __name__ == "__main__":
    absltest.main()
