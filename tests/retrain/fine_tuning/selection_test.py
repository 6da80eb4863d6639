"""Fine-tuning is kept where it helps, made once, and whole or not there."""

import dataclasses
import logging
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.backbones.engines import FLOAT32
from retrain.config import (
    DistortionOptions,
    FineTuningOptions,
    OutputOptions,
    SplitOptions,
    TrainingConfig,
)
from retrain.data.dataset import scan_dataset
from retrain.data.pixels import normalise
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.export import outputs
from retrain.export.assemble import assemble
from retrain.fine_tuning import selection
from retrain.fine_tuning.variants import undistorted
from retrain.system.phase_timer import PhaseTimer
from retrain.training.train import train_and_test
from tests.support import tiny_backbone, tunable_backbone

_GOOD = FineTuningOptions(epochs=12, learning_rate=0.01, batch_size=16)
_BAD = FineTuningOptions(epochs=2, learning_rate=10, batch_size=16)


class _Interrupting(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if "epoch 2" in record.getMessage():
            raise KeyboardInterrupt


class ChoiceTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.cache = cls.folder / "cache"
        cls.backbone = tunable_backbone.make(cls.cache)
        cls.images = tunable_backbone.draw_stripes(cls.folder / "pictures", 40, 150)

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

    def before(self, config: TrainingConfig):
        dataset = scan_dataset(config.image_dir, config.split)
        return train_and_test(config, self.backbone, dataset, [FLOAT32], PhaseTimer())

    def better(self, config: TrainingConfig):
        """Returns the choice, what was there before, and what was told of the choice."""
        before = self.before(config)
        with self.assertLogs(level="INFO") as logs:
            chosen = selection.better(config, self.backbone, before, PhaseTimer())
        return chosen, before, logs.output

    def kept(self) -> list[str]:
        return sorted(path.name for path in (self.cache / "backbones").iterdir())

    def test_what_helps_is_kept_with_features_of_its_own(self):
        config = self.config(_GOOD)
        chosen, before, lines = self.better(config)
        self.assertIs(chosen.config, config)
        self.assertNotEqual(chosen.backbone.fingerprint, self.backbone.fingerprint)
        (old,), (new,) = before.values(), chosen.trained.values()
        errors = [len(it.evaluations[VALIDATION].misclassified) for it in (new, old)]
        self.assertLessEqual(*errors)
        outcome = chosen.outcome
        self.assertGreater(outcome.gain, outcome.standard_error)
        entropies = [it.cross_entropy for it in (outcome.without, outcome.with_it)]
        self.assertAlmostEqual(entropies[0] - entropies[1], outcome.gain, places=5)
        self.assertEqual(outcome.test_with, new.test.accuracy)
        self.assertEqual(outcome.test_without, old.test.accuracy)
        self.assertTrue(chosen.outcome.kept)
        self.assertEqual(chosen.outcome.with_it, new.evaluations[VALIDATION])
        self.assertLen(chosen.outcome.history.at, _GOOD.epochs)
        said = rf"of 24 validation images, {errors[0]} get a wrong label with it and \d+ without"
        self.assertRegex(lines[-1], said)
        self.assertIn("is kept", lines[-1])

        from tensorflow import keras

        network = keras.models.load_model(chosen.backbone.keras_file, compile=False)
        for part in (TRAINING, VALIDATION, TEST):
            shown = [
                undistorted(p, *[tiny_backbone.SIDE] * 2) for p in new.features.part(part).images
            ]
            pixels = normalise(np.stack(shown), tiny_backbone.MEAN, tiny_backbone.STD)
            expected = np.asarray(network(pixels, training=False))
            np.testing.assert_allclose(
                new.features.part(part).vectors, expected, rtol=2e-3, atol=1e-3
            )

        options = OutputOptions(
            output_graph=self.folder / "graph.pb",
            output_labels=self.folder / "labels.txt",
            saved_model_dir=self.folder / "saved",
            keras_file=self.folder / "classifier.keras",
            tflite_file=self.folder / "classifier.tflite",
        )
        classifier = assemble(config, chosen.backbone, new.features, new.head, new.test.accuracy)
        self.assertTrue(classifier.metadata.training["fine_tuned"])
        _, checked, _ = outputs.write_classifiers({FLOAT32: classifier}, options, new.features)
        self.assertEqual([it.agreement for it in checked], [1.0] * 4)

    def test_what_does_not_help_is_left_out(self):
        chosen, before, lines = self.better(self.config(_BAD))
        self.assertIs(chosen.backbone, self.backbone)
        self.assertIs(chosen.trained, before)
        self.assertEqual(chosen.config.fine_tuning, FineTuningOptions())
        self.assertNotIn("fine_tuning", chosen.config.used())
        self.assertIn("is left out", lines[-1])
        self.assertFalse(chosen.outcome.kept)

    def test_a_network_that_learned_nothing_is_left_out(self):
        nothing = FineTuningOptions(epochs=1, learning_rate=0, weight_decay=0, batch_size=16)
        chosen, before, lines = self.better(self.config(nothing))
        self.assertIs(chosen.trained, before)
        numbers = re.search(r"(\d+) get a wrong label with it and (\d+) without", lines[-1])
        self.assertEqual(*numbers.groups())

    def test_the_same_is_taken_from_the_cache_also_from_elsewhere(self):
        config = self.config(dataclasses.replace(_GOOD, epochs=1))
        first, _, lines = self.better(config)
        self.assertTrue(any("epoch 1 of 1" in line for line in lines))
        moved = Path(shutil.copytree(self.images, self.folder / "moved"))
        for again in (config, dataclasses.replace(config, image_dir=moved)):
            second, _, lines = self.better(again)
            self.assertFalse(any("epoch" in line for line in lines), lines)
            self.assertEqual(second.backbone, first.backbone)
            self.assertEqual(second.outcome.history, first.outcome.history)
        other = dataclasses.replace(config, head=dataclasses.replace(config.head, seed=1))
        self.assertTrue(any("epoch 1 of 1" in line for line in self.better(other)[2]))

    def test_an_interrupted_one_is_gone_on_with(self):
        config = self.config(dataclasses.replace(_GOOD, epochs=3))
        plain = self.before(config)
        kept = self.kept()
        handler = _Interrupting()
        logging.getLogger().addHandler(handler)
        try:
            with self.assertRaises(KeyboardInterrupt):
                selection.better(config, self.backbone, plain, PhaseTimer())
        finally:
            logging.getLogger().removeHandler(handler)
        self.assertEqual(self.kept(), kept)
        self.assertLen(list((self.cache / "fine_tuning").iterdir()), 1)
        _, _, lines = self.better(config)
        self.assertTrue(any("goes on after epoch 2 of 3" in line for line in lines), lines)
        self.assertEmpty(list((self.cache / "fine_tuning").iterdir()))

    def test_without_validation_images_nobody_could_tell(self):
        config = self.config(_GOOD, split=SplitOptions(validation_percentage=0))
        with self.assertRaisesRegex(UserError, "--fine_tune_epochs needs validation images"):
            self.better(config)


if __name__ == "__main__":
    absltest.main()
