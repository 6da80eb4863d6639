"""Fine-tuning is kept if it helps, computed once, and continued after an interruption."""

import dataclasses
import logging
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.backbones.engines import FLOAT32
from retrain.config import SplitOptions, TrainingConfig
from retrain.data.dataset import scan_dataset
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.export import outputs
from retrain.fine_tuning import selection, tuned_backbone
from retrain.fine_tuning.variants import decode_undistorted
from retrain.metadata import CROP, STRETCH
from retrain.output_options import OutputOptions
from retrain.runtimes.preprocessing import normalise
from retrain.system.outputs.staging import Staging
from retrain.system.phase_timer import PhaseTimer
from retrain.training.engine_plan import EnginePlan
from retrain.training.results import Results
from retrain.training.train import train_and_evaluate
from retrain.training_options import DistortionOptions, FineTuningOptions
from tests.support import tiny_backbone, tunable_backbone

_PLAN = EnginePlan(FLOAT32)
_GOOD = FineTuningOptions(epochs=12, learning_rate=0.01, batch_size=16)
# So large that it destroys the features, on every processor and with every library.
_BAD = FineTuningOptions(epochs=2, learning_rate=1000, batch_size=16)


class _Interrupting(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if "epoch 2" in record.getMessage():
            raise KeyboardInterrupt


class SelectionTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.cache = cls.folder / "cache"
        cls.backbone = tunable_backbone.make(cls.cache)
        cls.images = tunable_backbone.draw_stripes(cls.folder / "pictures", count=40, noise=150)

    def config(self, options: FineTuningOptions, **changes) -> TrainingConfig:
        return TrainingConfig(
            self.images,
            **{
                "split": SplitOptions(validation_percentage=20, testing_percentage=20),
                "distortions": DistortionOptions(random_crop=5, per_image=1),
                "output": OutputOptions(summaries_dir=None),
                "bottleneck_dir": self.cache,
                "engine": FLOAT32,
                "fine_tuning": options,
                **changes,
            },
        )

    def train(self, config: TrainingConfig) -> Results:
        dataset = scan_dataset(config.image_dir, config.split)
        return train_and_evaluate(config, self.backbone, dataset, _PLAN, timer=PhaseTimer())

    def select(self, config: TrainingConfig) -> tuple[selection.Selection, Results, list[str]]:
        """Returns the selection, the results before fine-tuning, and the log lines."""
        pretrained = self.train(config)
        with self.assertLogs(level="INFO") as logs:
            selected = selection.select_fine_tuned(
                config, self.backbone, pretrained, plan=_PLAN, timer=PhaseTimer()
            )
        return selected, pretrained, logs.output

    def cached_backbones(self) -> list[str]:
        return sorted(path.name for path in (self.cache / "backbones").iterdir())

    def test_a_better_backbone_is_selected_with_features_of_its_own(self):
        config = self.config(_GOOD)
        selected, pretrained, lines = self.select(config)
        self.assertIs(selected.config, config)
        self.assertNotEqual(selected.backbone.fingerprint, self.backbone.fingerprint)
        old, new = pretrained.primary, selected.results.primary
        errors = [len(result.validation.misclassified) for result in (new, old)]
        self.assertLessEqual(*errors)
        outcome = selected.fine_tuning
        self.assertGreater(outcome.gain.mean, outcome.gain.required)
        entropies = [evaluation.cross_entropy for evaluation in (outcome.baseline, outcome.tuned)]
        self.assertAlmostEqual(entropies[0] - entropies[1], outcome.gain.mean, places=5)
        self.assertEqual(outcome.test_tuned, new.test.accuracy)
        self.assertEqual(outcome.test_baseline, old.test.accuracy)
        self.assertTrue(selected.fine_tuning.kept)
        self.assertEqual(selected.fine_tuning.tuned, new.validation)
        self.assertLen(selected.fine_tuning.history.at, _GOOD.epochs)
        self.assertRegex(
            lines[-1],
            rf"of 24 validation images, {errors[0]} get a wrong label with it and \d+ without",
        )
        self.assertIn("is kept", lines[-1])

        from tensorflow import keras

        network = keras.models.load_model(selected.backbone.keras_file, compile=False)
        for split in (TRAINING, VALIDATION, TEST):
            shown = [
                decode_undistorted(image, *[tiny_backbone.SIDE] * 2)
                for image in new.features.split(split).images
            ]
            pixels = normalise(np.stack(shown), tiny_backbone.MEAN, tiny_backbone.STD)
            expected = np.asarray(network(pixels, training=False))
            np.testing.assert_allclose(
                new.features.split(split).vectors, expected, rtol=2e-3, atol=1e-3
            )

        options = OutputOptions(
            output_graph=self.folder / "graph.pb",
            output_labels=self.folder / "labels.txt",
            saved_model_dir=self.folder / "saved",
            keras_file=self.folder / "classifier.keras",
            tflite_file=self.folder / "classifier.tflite",
        )
        with Staging() as staging:
            classifiers = outputs.assemble_classifiers(config, selected.backbone, selected.results)
            exported = outputs.stage_classifiers(staging, classifiers, options, new.features)
        self.assertEqual(
            [check.from_pixels.agreement for check in exported.parity_checks], [1.0] * 4
        )
        self.assertTrue(classifiers.primary.metadata.training["fine_tuned"])

    def test_a_worse_backbone_is_discarded(self):
        selected, pretrained, lines = self.select(self.config(_BAD))
        self.assertIs(selected.backbone, self.backbone)
        self.assertIs(selected.results, pretrained)
        self.assertEqual(selected.config.fine_tuning, FineTuningOptions())
        self.assertNotIn("fine_tuning", selected.config.provenance())
        self.assertIn("is discarded", lines[-1])
        self.assertFalse(selected.fine_tuning.kept)

    def test_an_unchanged_backbone_is_discarded(self):
        nothing = FineTuningOptions(epochs=1, learning_rate=0, weight_decay=0, batch_size=16)
        selected, pretrained, lines = self.select(self.config(nothing))
        self.assertIs(selected.results, pretrained)
        numbers = re.search(r"(\d+) get a wrong label with it and (\d+) without", lines[-1])
        self.assertEqual(*numbers.groups())

    def test_the_same_images_in_another_folder_reuse_the_cached_backbone(self):
        # No other test uses these options, so nothing is cached yet.
        config = self.config(dataclasses.replace(_GOOD, epochs=1, weight_decay=0.02))
        first, _, lines = self.select(config)
        self.assertTrue(any("epoch 1 of 1" in line for line in lines))
        moved = Path(shutil.copytree(self.images, self.folder / "moved"))
        for again in (config, dataclasses.replace(config, image_dir=moved)):
            second, _, lines = self.select(again)
            self.assertFalse(any("epoch" in line for line in lines), lines)
            self.assertEqual(second.backbone, first.backbone)
            self.assertEqual(second.fine_tuning.history, first.fine_tuning.history)
        other = dataclasses.replace(config, head=dataclasses.replace(config.head, seed=1))
        self.assertTrue(any("epoch 1 of 1" in line for line in self.select(other)[2]))

    def test_a_fine_tuned_backbone_fits_images_as_the_pretrained_one(self):
        config = self.config(dataclasses.replace(_GOOD, epochs=1))
        dataset = scan_dataset(config.image_dir, config.split)
        folders = []
        for fit in (STRETCH, CROP):
            backbone = dataclasses.replace(self.backbone, fit=fit)
            pretrained = train_and_evaluate(config, backbone, dataset, _PLAN, timer=PhaseTimer())
            tuned, _ = tuned_backbone.fine_tune_backbone(config, backbone, pretrained.primary)
            self.assertEqual(tuned.fit, fit)
            folders.append(tuned.graph_file.parent)
        self.assertNotEqual(*folders)

    def test_an_interrupted_training_continues(self):
        config = self.config(dataclasses.replace(_GOOD, epochs=3))
        pretrained = self.train(config)
        cached = self.cached_backbones()
        handler = _Interrupting()
        logging.getLogger().addHandler(handler)
        try:
            with self.assertRaises(KeyboardInterrupt):
                selection.select_fine_tuned(
                    config, self.backbone, pretrained, plan=_PLAN, timer=PhaseTimer()
                )
        finally:
            logging.getLogger().removeHandler(handler)
        self.assertEqual(self.cached_backbones(), cached)
        self.assertLen(list((self.cache / "fine_tuning").iterdir()), 1)
        _, _, lines = self.select(config)
        self.assertTrue(any("continues after epoch 2 of 3" in line for line in lines), lines)
        self.assertEmpty(list((self.cache / "fine_tuning").iterdir()))

    def test_fine_tuning_needs_validation_images(self):
        config = self.config(_GOOD, split=SplitOptions(validation_percentage=0))
        with self.assertRaisesRegex(UserError, "--fine_tune_epochs needs validation images"):
            self.select(config)


if __name__ == "__main__":
    absltest.main()
