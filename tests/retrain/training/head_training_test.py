"""A head is trained with the configured solver, and calibrated on held-out images."""

import dataclasses
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import efficientnet_lite0
from retrain.bottlenecks.features import Bottlenecks, SplitFeatures
from retrain.config import SplitOptions, TrainingConfig
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION, SplitPercentages
from retrain.output_options import OutputOptions
from retrain.training.head_training import train_head
from retrain.training_options import HeadOptions

_LABELS = ("a", "b", "c")


def _split_features(count: int, split: str, seed: int) -> SplitFeatures:
    """Returns features with some noise; their classes are not perfectly separable."""
    class_ids = np.arange(count) % 3
    noise = np.random.default_rng(seed).normal(0, 0.4, (count, 1, 6))
    features = np.eye(3, 6)[class_ids][:, np.newaxis] + noise
    images = tuple(
        ImageFile(Path(f"/{split}/{i}"), int(class_id), split, seed + i / 1000)
        for i, class_id in enumerate(class_ids)
    )
    return SplitFeatures(images, features.astype(np.float16), class_ids.astype(np.int64))


def _features(validation_count: int) -> Bottlenecks:
    split_features = {
        TRAINING: _split_features(120, TRAINING, seed=0),
        VALIDATION: _split_features(validation_count, VALIDATION, seed=1),
        TEST: _split_features(60, TEST, seed=2),
    }
    images = tuple(image for split in split_features.values() for image in split.images)
    percentages = SplitPercentages.from_options(SplitOptions())
    dataset = Dataset(Path("/"), _LABELS, _LABELS, images, percentages)
    return Bottlenecks(dataset, "float32", split_features, 0, {})


class TrainHeadTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The features are computed already. Only their number matters.
        cls.backbone = dataclasses.replace(
            efficientnet_lite0.load().without_stages(), feature_width=6
        )

    def config(self, **head) -> TrainingConfig:
        output = OutputOptions(summaries_dir=None)
        return TrainingConfig(
            Path("/"), bottleneck_dir=Path("/cache"), head=HeadOptions(**head), output=output
        )

    def accuracy(self, head) -> float:
        test = _features(30).split(TEST)
        return float((head.logits(test.vectors).argmax(axis=1) == test.class_ids).mean())

    @parameterized.parameters("logistic_regression", "sgd")
    def test_both_solvers_learn(self, solver):
        config = self.config(solver=solver, steps=500, learning_rate=0.1)
        trained = train_head(config, self.backbone, _features(30))
        self.assertGreater(self.accuracy(trained.head), 0.8)
        self.assertIsNone(trained.summaries)
        self.assertEqual(trained.history.selected is not None, solver != "sgd")

    def test_the_result_on_held_out_images_is_logged(self):
        with self.assertLogs(level="INFO") as logs:
            train_head(self.config(), self.backbone, _features(30))
        self.assertRegex(
            logs.output[0],
            r"Selected by cross-validation: C = \S+, with which \d+ of 150 images get the right",
        )

    def test_calibration_changes_scores_and_no_labels(self):
        features = _features(30)
        plain, calibrated = (
            train_head(self.config(calibrate=calibrate), self.backbone, features).head
            for calibrate in (False, True)
        )
        logits = [head.logits(features.split(TEST).vectors) for head in (plain, calibrated)]
        np.testing.assert_array_equal(logits[0].argmax(axis=1), logits[1].argmax(axis=1))
        self.assertFalse(np.allclose(*logits))

    def test_validation_images_alone_judge_a_fine_tuned_backbone(self):
        trained = train_head(self.config(), self.backbone, _features(30), validation_only=True)
        self.assertEqual(trained.history.validation_name, "validation")

    def test_a_fine_tuned_backbone_without_validation_images_is_cross_validated(self):
        with self.assertLogs(level="WARNING") as logs:
            trained = train_head(self.config(), self.backbone, _features(0), validation_only=True)
        self.assertIn("there are no validation images: cross-validation", logs.output[0])
        self.assertEqual(trained.history.validation_name, "held-out folds")
        test = _features(0).split(TEST)
        # The weakest head, which won while all strengths tied, gave scores of about a third.
        self.assertGreater(trained.head.probabilities(test.vectors).max(axis=1).mean(), 0.6)
        self.assertGreater(self.accuracy(trained.head), 0.8)

    def test_steps_are_observed_with_their_backbone_and_features(self):
        features, observed = _features(30), []

        def observe(backbone, observed_features):
            self.assertIs(observed_features, features)
            return lambda step, head: observed.append((step, head))

        config = self.config(solver="sgd", steps=5)
        train_head(config, self.backbone, features, observe_steps=observe)
        self.assertEqual([step for step, _ in observed], [0, 1, 2, 3, 4])

    def test_summaries_are_written_to_a_folder_of_the_run(self):
        folder = Path(self.create_tempdir().full_path)
        config = dataclasses.replace(self.config(), output=OutputOptions(summaries_dir=folder))
        trained = train_head(config, self.backbone, _features(30), run_name="int8")
        self.assertEqual(trained.summaries.parent, folder)
        self.assertEndsWith(trained.summaries.name, "-int8")
        self.assertTrue(list(trained.summaries.glob("train/events.out.tfevents.*")))


if __name__ == "__main__":
    absltest.main()
