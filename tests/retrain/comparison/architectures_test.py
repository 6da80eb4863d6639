"""The smallest network within one standard error of the best is selected."""

from absl.testing import absltest, parameterized

from retrain.comparison.architectures import ArchitectureResult, select_architecture
from retrain.config import MOST_ACCURATE, SMALLEST
from retrain.training.accuracy_interval import wilson_interval


def _result(accuracy: float, size: int, count: int = 400) -> ArchitectureResult:
    interval = wilson_interval(accuracy, count)
    return ArchitectureResult("n", count, accuracy, interval, milliseconds=5.0, size=size)


class SelectArchitectureTest(parameterized.TestCase):
    # The standard error of 0.95 with 400 images is 0.011.
    @parameterized.parameters(
        ([0.942, 0.95, 0.946], [10, 30, 20], SMALLEST, 0),
        ([0.930, 0.95, 0.945], [10, 30, 20], SMALLEST, 2),
        ([0.930, 0.95, 0.935], [10, 30, 20], SMALLEST, 1),
        ([0.942, 0.95, 0.946], [10, 30, 20], MOST_ACCURATE, 1),
        ([0.95, 0.95, 0.90], [30, 20, 10], MOST_ACCURATE, 1),
        ([0.942, 0.95, 0.946], [10, 10, 10], SMALLEST, 1),
    )
    def test_selects(self, accuracies, sizes, select, expected):
        results = [_result(a, size) for a, size in zip(accuracies, sizes, strict=True)]
        self.assertEqual(select_architecture(results, select), expected)

    def test_without_mistakes_a_standard_error_remains(self):
        best, close = _result(1.0, 30, count=50), _result(0.99, 10, count=50)
        self.assertGreater(best.standard_error, 0.01)
        self.assertEqual(select_architecture([best, close], SMALLEST), 1)


if __name__ == "__main__":
    absltest.main()
