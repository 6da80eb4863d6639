"""The names of reports say what they are."""

from pathlib import Path

from absl.testing import absltest, flagsaver

from retrain.errors import UserError
from retrain.flags import output_flags


class OutputFlagsTest(absltest.TestCase):
    @flagsaver.flagsaver(report="/r/run.HTML", predictions="/r/test.csv")
    def test_reports_are_written_to_the_given_paths(self):
        options = output_flags.parse_options()
        self.assertEqual(options.report, Path("/r/run.HTML"))
        self.assertEqual(options.predictions, Path("/r/test.csv"))

    @flagsaver.flagsaver(report="/r/run.pdf")
    def test_a_report_of_another_format_is_refused(self):
        with self.assertRaisesRegex(UserError, "^--report=/r/run.pdf must have a name .* .html$"):
            output_flags.parse_options()

    @flagsaver.flagsaver(predictions="/r/test.parquet")
    def test_parquet_is_refused_with_a_way_to_convert_the_csv_file(self):
        with self.assertRaisesRegex(UserError, "ends in .csv; pandas.*to_parquet"):
            output_flags.parse_options()


if __name__ == "__main__":
    absltest.main()
