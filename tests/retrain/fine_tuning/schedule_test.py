"""The validation loss decides when training ends, if the number of epochs is not given."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.fine_tuning.schedule import TuningSchedule
from retrain.training_options import AUTO_FINE_TUNING, FineTuningOptions

_STEPS = 100


def _given(epochs: int) -> TuningSchedule:
    return TuningSchedule(FineTuningOptions(epochs=epochs), _STEPS)


def _auto(steps: int = _STEPS) -> TuningSchedule:
    return TuningSchedule(AUTO_FINE_TUNING, steps)


def _halved(epochs: int) -> list[float]:
    return [0.5**epoch for epoch in range(epochs)]


def _train(schedule: TuningSchedule, losses: list[float]) -> int:
    """Returns the number of epochs after which training ends, if these are the losses."""
    epoch = 0
    while not schedule.is_finished(losses[:epoch]):
        epoch += 1
    return epoch


class TuningScheduleTest(parameterized.TestCase):
    @parameterized.parameters(1, 8)
    def test_a_given_number_of_epochs_is_kept(self, epochs: int):
        for losses in ([1.0] * 20, _halved(20)):
            self.assertEqual(_train(_given(epochs), losses), epochs)

    @parameterized.parameters(
        ([1.0] * 20, 4),
        ([1.0, 0.5, *[0.45] * 18], 5),
        # What happens after the decision does not change it.
        ([1.0, 0.9, 0.4, 0.1, *[0.01] * 16], 4),
        (_halved(20), 8),
        ([float("inf")] * 20, 8),
    )
    def test_training_ends_two_epochs_after_progress_became_slow(
        self, losses: list[float], expected: int
    ):
        self.assertEqual(_train(_auto(), losses), expected)

    @parameterized.parameters((1000, 4), (12, 4), (11, 8), (5, 12), (1, 12))
    def test_few_images_are_used_in_more_epochs(self, steps: int, expected: int):
        self.assertEqual(_train(_auto(steps), [1.0] * 20), expected)

    def learning_rates(self, schedule, steps: int) -> np.ndarray:
        return np.array([float(schedule(step)) for step in range(steps)])

    def test_the_learning_rate_stays_high_until_the_decision(self):
        import tensorflow as tf

        auto = _auto()
        first_final_step = tf.Variable(auto.first_final_step([1.0]), dtype=tf.int64)
        schedule = auto.learning_rate(first_final_step)
        peak = AUTO_FINE_TUNING.learning_rate
        before = self.learning_rates(schedule, 2 * _STEPS)
        self.assertGreater(before[0], 0)
        self.assertTrue(np.all(np.diff(before[:20]) > 0))
        np.testing.assert_allclose(before[20:], peak, rtol=1e-5)
        first_final_step.assign(auto.first_final_step([1.0, 1.0]))
        after = self.learning_rates(schedule, 4 * _STEPS + 1)
        np.testing.assert_allclose(after[: 2 * _STEPS], before, rtol=1e-5)
        np.testing.assert_allclose(after[3 * _STEPS], peak / 2, rtol=1e-5)
        self.assertTrue(np.all(np.diff(after[2 * _STEPS :]) < 0))
        self.assertEqual(after[-1], 0)

    def test_the_learning_rate_of_a_given_number_of_epochs_follows_a_cosine(self):
        options = FineTuningOptions(epochs=4)
        rates = self.learning_rates(
            TuningSchedule(options, _STEPS).learning_rate(None), 4 * _STEPS + 1
        )
        self.assertEqual(rates.argmax(), options.warm_up * 4 * _STEPS)
        self.assertAlmostEqual(rates.max(), options.learning_rate)
        self.assertAlmostEqual(rates[-1], 0)
        np.testing.assert_allclose(rates[40 + 180], options.learning_rate / 2, rtol=1e-4)

    def test_variants_repeat_only_if_the_number_of_epochs_is_not_given(self):
        epochs = range(9)
        given, auto = (
            _given(9),
            _auto(),
        )
        self.assertEqual([given.variant(epoch) for epoch in epochs], list(epochs))
        self.assertEqual([auto.variant(epoch) for epoch in epochs], [0, 1, 2, 3] * 2 + [0])

    def test_progress_is_described(self):
        given, auto = (
            _given(3),
            _auto(),
        )
        self.assertEqual(given.describe([1.0]), "1 of 3")
        self.assertEqual(given.describe_remaining([1.0], 5), "10 s")
        self.assertEqual(auto.describe([1.0]), "1 of at most 8")
        self.assertEqual(auto.describe_remaining([1.0], 5), "at most 35 s")
        self.assertEqual(auto.describe([1.0] * 3), "3 of 4")
        self.assertEqual(auto.describe_remaining([1.0] * 3, 5), "5 s")
        self.assertEqual(auto.describe(_halved(8)), "8 of 8")


if __name__ == "__main__":
    absltest.main()
