"""The time of each phase is added up, whether or not it fails."""

from unittest import mock

from absl.testing import absltest

from retrain.system.phase_timer import PhaseTimer


class PhaseTimerTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.now = 100.0
        self.enter_context(mock.patch("time.monotonic", lambda: self.now))
        self.timer = PhaseTimer()

    def spend(self, seconds: float, phase: str) -> None:
        with self.timer.phase(phase):
            self.now += seconds

    def test_phases_with_the_same_name_are_added(self):
        self.spend(2.0, "scan")
        self.spend(3.0, "training")
        self.spend(4.0, "scan")
        self.assertEqual(self.timer.seconds, {"scan": 6.0, "training": 3.0})

    def test_a_phase_that_fails_counts(self):
        with self.assertRaises(ValueError), self.timer.phase("scan"):
            self.now += 5.0
            raise ValueError
        self.assertEqual(self.timer.seconds, {"scan": 5.0})

    def test_the_total_includes_the_time_between_phases(self):
        self.spend(2.0, "scan")
        self.now += 1.0
        self.assertEqual(self.timer.total, 3.0)


if __name__ == "__main__":
    absltest.main()
