"""The summary counts images and mean scores per class."""

from absl.testing import absltest

from tools.guess.summary import Summary
from tools.transfers.plan import Plan

_PLANS = (
    Plan("1.jpg", "a.jpg", "a", 0.5),
    Plan("2.jpg", "語.jpg", "語", 1.0),
    Plan("3.jpg", "b.jpg", "a", 0.25),
    Plan("bad.jpg", error="it is damaged"),
)


class SummaryTest(absltest.TestCase):
    def test_plans_are_passed_through_and_counted(self):
        summary = Summary()
        self.assertEqual(list(summary.counting(_PLANS)), list(_PLANS))
        self.assertEqual((summary.num_sorted, summary.num_failed), (3, 1))

    def test_the_table_has_a_row_for_each_class(self):
        summary = Summary()
        list(summary.counting(_PLANS))
        self.assertEqual(
            summary.table(),
            "class  images  mean score\n"
            "a           2       0.375\n"
            f"{'語':5}       1       1.000\n"
            "total       3",
        )

    def test_images_of_none_of_the_classes_have_a_row_of_their_own(self):
        summary = Summary()
        unknown = Plan("4.jpg", "unknown/4.jpg", "a", 0.9, is_unknown=True)
        list(summary.counting((*_PLANS, unknown)))
        self.assertEqual((summary.num_sorted, summary.num_unknown), (4, 1))
        self.assertEqual(
            summary.table().splitlines()[1:],
            [
                "a                   2       0.375",
                f"{'語':13}       1       1.000",
                "none of these       1",
                "total               4",
            ],
        )


if __name__ == "__main__":
    absltest.main()
