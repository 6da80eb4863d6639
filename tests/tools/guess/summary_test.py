"""The summary counts images and mean scores per class."""

from absl.testing import absltest

from tools.guess.results import Result
from tools.guess.summary import Summary

_RESULTS = (
    Result("/s/1.jpg", "/t/a.jpg", "moved", "a", 0.5),
    Result("/s/2.jpg", "/t/語.jpg", "moved", "語", 1.0),
    Result("/s/3.jpg", "/t/b.jpg", "copied", "a", 0.25),
    Result("/s/bad.jpg", error="it is damaged"),
)


class SummaryTest(absltest.TestCase):
    def test_results_are_passed_through_and_counted(self):
        summary = Summary()
        self.assertEqual(list(summary.counting(_RESULTS)), list(_RESULTS))
        self.assertEqual((summary.num_sorted, summary.num_failed), (3, 1))

    def test_the_table_has_a_row_for_each_class(self):
        summary = Summary()
        list(summary.counting(_RESULTS))
        self.assertEqual(
            summary.table(),
            "class  images  mean score\n"
            "a           2       0.375\n"
            f"{'語':5}       1       1.000\n"
            "total       3",
        )

    def test_images_of_none_of_the_classes_have_a_row_of_their_own(self):
        summary = Summary()
        unknown = Result("/s/4.jpg", "/t/unknown/4.jpg", "moved", "a", 0.9, is_unknown=True)
        list(summary.counting((*_RESULTS, unknown)))
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
