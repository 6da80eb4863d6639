"""The table of networks says which one is used, and why."""

from absl.testing import absltest

from retrain.comparison.architectures import ArchitectureComparison, ArchitectureResult
from retrain.config import MOST_ACCURATE, SMALLEST
from retrain.report.comparison_lines import architecture_lines

_RESULTS = (
    ArchitectureResult("small", 1234, 0.95, (0.93, 0.965), milliseconds=5.04, size=14_000_000),
    ArchitectureResult("larger_net", 1234, 0.96, (0.94, 1.0), milliseconds=12.3, size=120_500_000),
)


class ArchitectureLinesTest(absltest.TestCase):
    def test_the_table_has_a_line_for_each_network(self):
        lines = architecture_lines(ArchitectureComparison(_RESULTS, 0, SMALLEST))
        self.assertEqual(
            lines[:-1],
            [
                "Networks, by cross-validation on 1,234 training and validation images:",
                "              accuracy  likely between       an image      size",
                "  small         95.0 %   93.0 and  96.5 %       5.0 ms   14.0 MB  <- used",
                "  larger_net    96.0 %   94.0 and 100.0 %      12.3 ms  120.5 MB",
            ],
        )
        self.assertStartsWith(lines[-1], "small is the smallest within one standard error")

    def test_the_reason_is_that_of_the_flag(self):
        lines = architecture_lines(ArchitectureComparison(_RESULTS, 1, MOST_ACCURATE))
        self.assertEqual(lines[-1], "larger_net is the most accurate.")
        self.assertEndsWith(lines[-2], "<- used")

    def test_without_a_comparison_there_are_no_lines(self):
        self.assertEmpty(architecture_lines(None))


if __name__ == "__main__":
    absltest.main()
