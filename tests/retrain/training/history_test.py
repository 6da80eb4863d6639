"""Histories record the metrics of a training, and are read back from JSON."""

import numpy as np
from absl.testing import absltest

from retrain.runtimes.head import Head
from retrain.training.history import HistoryRecorder, MetricSeries, TrainingHistory
from retrain.training.step_metrics import StepMetrics
from retrain.training.strength_selection import fit_with_selected_strength
from retrain.training.training_set import TrainingSet


class TrainingHistoryTest(absltest.TestCase):
    def test_json_is_lossless(self):
        series = MetricSeries((0.5, 0.1), (1 / 3, 2.0))
        for history in (
            TrainingHistory((1, 2), series, None),
            TrainingHistory(
                (0.1, 1.0), series, MetricSeries((0.0, 1.0), (5.0, 0.0)), 0.1, "held-out folds"
            ),
        ):
            self.assertEqual(TrainingHistory.from_json(history.to_json()), history)

    def test_json_of_version_1_0_is_read(self):
        text = """{"at": [1, 2], "learned": [[0.5, 0.1], [1.5, 2.0]], "others": null,
                   "chosen": 0.1, "name": "validation"}"""
        self.assertEqual(
            TrainingHistory.from_json(text),
            TrainingHistory((1, 2), MetricSeries((0.5, 0.1), (1.5, 2.0)), None, 0.1),
        )

    def test_history_of_strengths(self):
        rng = np.random.default_rng(0)
        class_ids = rng.integers(0, 3, 200)
        features = (np.eye(3)[class_ids] + rng.normal(0, 1, (200, 3))).astype(np.float32)
        noise = rng.normal(0, 1, (200, 40)).astype(np.float32)
        examples = np.concatenate([features, noise], axis=1), class_ids
        nothing = (np.zeros((0, 43), np.float32), np.zeros(0, np.int64))
        selected = fit_with_selected_strength(TrainingSet(*examples, class_count=3), nothing)
        history = selected.history
        self.assertEqual(history.selected, selected.strength)
        index = history.at.index(selected.strength)
        right = np.mean(selected.held_out_logits.argmax(axis=1) == selected.held_out_class_ids)
        self.assertAlmostEqual(history.validation.accuracy[index], right)
        self.assertEqual(max(history.validation.accuracy), history.validation.accuracy[index])
        # Weaker penalties fit the training images better, but not the held-out ones.
        losses = history.train.cross_entropy
        self.assertEqual(list(losses), sorted(losses, reverse=True))
        self.assertGreater(history.validation.cross_entropy[-1], 1.2 * losses[-1])
        self.assertGreater(history.train.accuracy[-1], history.validation.accuracy[-1])

    def test_history_of_strengths_without_held_out_images(self):
        examples = np.eye(3, dtype=np.float32), np.arange(3)
        nothing = (np.zeros((0, 3), np.float32), np.zeros(0, np.int64))
        history = fit_with_selected_strength(TrainingSet(*examples, class_count=3), nothing).history
        self.assertIsNone(history.validation)
        self.assertEqual(history.train.accuracy[-1], 1)

    def test_history_of_steps(self):
        recorder = HistoryRecorder()
        head = Head(np.zeros((1, 2), np.float32), np.zeros(2, np.float32))
        for step in (0, 10):
            recorder.add(StepMetrics(step, 0.5 + step / 100, 2.0, 0.25, 3.0 - step / 10, head))
        history = recorder.history()
        self.assertEqual(history.at, (0, 10))
        self.assertEqual(history.train, MetricSeries((0.5, 0.6), (2.0, 2.0)))
        self.assertEqual(history.validation, MetricSeries((0.25, 0.25), (3.0, 2.0)))
        self.assertIsNone(history.selected)


if __name__ == "__main__":
    absltest.main()
