"""The files of a run load with Keras, carry labels and metadata, and are listed at the end."""

import contextlib
import io
import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain import metadata
from retrain.version import VERSION
from tools.keras_training import classifier_file, outputs, plots, small_networks
from tools.keras_training.examples import Examples, TrainingData
from tools.keras_training.image_shape import ImageShape
from tools.keras_training.options import Augmentation, Options
from tools.keras_training.tasks import Task
from tools.keras_training.training_state import TrainingState

_SHAPE = ImageShape(16, 20, 1)
_LABELS, _FOLDERS = ("ant", "bee"), ("Ant", "Bee")
_HISTORY = [
    {"accuracy": 0.5, "loss": 0.9, "val_accuracy": 0.25, "val_loss": 0.8},
    {"accuracy": 0.6, "loss": 0.7, "val_accuracy": 0.75, "val_loss": 0.6},
    {"accuracy": 0.7, "loss": 0.5, "val_accuracy": 0.5, "val_loss": 0.7},
]


class OutputsTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.options = Options(
            Path("/train"),
            "cnn_malireddi",
            cls.folder,
            val_dir=Path("/val"),
            bottleneck_dir=Path("/cache"),
        )
        images = np.random.default_rng(0).integers(0, 256, (6, *_SHAPE), np.uint8)
        examples = Examples(images, np.array([0, 1, 0, 1, 0, 1]))
        data = TrainingData(_LABELS, _FOLDERS, examples, examples.sample(4), examples)
        model = small_networks.build("cnn_malireddi", _SHAPE, 2)
        cls.task = Task(data, model, model, _SHAPE, batch_size=2)
        cls.state = TrainingState(_HISTORY)
        cls.best = cls.folder / cls.state.best_model_file
        classifier_file.write(cls.best, cls.task, classifier_file.describe(cls.task, cls.options))
        cls.files = outputs.write(cls.task, cls.state, cls.folder)

    def test_classifier_carries_labels_and_metadata(self):
        with zipfile.ZipFile(self.best) as archive:
            self.assertEqual(archive.read("labels.txt"), b"ant\nbee\n")
            parsed = metadata.from_json(archive.read("retrain_metadata.json"))
        self.assertEqual((parsed.labels, parsed.folders), (_LABELS, _FOLDERS))
        self.assertEqual((parsed.height, parsed.width), (16, 20))
        self.assertEqual((parsed.mean, parsed.std), ((0.0,) * 3, (255.0,) * 3))
        self.assertEqual(parsed.split, {"training": 6, "validation": 4})
        self.assertEqual(parsed.output, "probabilities")
        self.assertEqual(parsed.versions["retrain"], VERSION)
        self.assertIn("keras", parsed.versions)
        self.assertEqual(parsed.training["epochs"], 20)
        self.assertNoCommonElements(parsed.training, ["train_dir", "val_dir", "output_dir"])

    def test_model_and_weights_rebuild_the_classifier(self):
        from tensorflow import keras

        rebuilt = keras.models.model_from_json((self.folder / "model.json").read_text())
        rebuilt.load_weights(self.folder / "model.weights.h5")
        images = self.task.data.train.inputs
        np.testing.assert_array_equal(
            rebuilt.predict(images, verbose=0), self.task.classifier.predict(images, verbose=0)
        )

    def test_labels_and_history(self):
        self.assertEqual((self.folder / "labels.txt").read_text(), "ant\nbee\n")
        self.assertEqual(json.loads((self.folder / "history.json").read_text()), _HISTORY)

    def test_results_name_the_best_epoch_and_all_files(self):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            outputs.print_results(self.task, self.state, self.options, self.files)
        lines = printed.getvalue().splitlines()
        self.assertStartsWith(lines[0], "Validation accuracy = 75.00% (N=4), from epoch 2 of 3")
        for file in self.files:
            self.assertTrue(file.path.is_file(), file.path)
            self.assertTrue(any(str(file.path) in line for line in lines), file.path)
        self.assertEndsWith(lines[-1], f"--logdir={self.folder}/logs")

    def test_plots_are_written_for_the_user_and_for_tensorboard(self):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        logs = self.folder / "logs"
        plain = plots.plot_images(self.task.data, self.options, logs).read_bytes()
        curves = plots.plot_history(self.state, self.options, logs)
        self.assertEqual(curves.name, "curves.png")
        for png in (plain, curves.read_bytes()):
            self.assertStartsWith(png, b"\x89PNG")
        events = EventAccumulator(str(logs / "drawings")).Reload()
        self.assertEqual({"pictures", "curves"}, set(events.Tags()["images"]))

        augmentation = Augmentation(random_shift=40)
        options = Options(
            Path("/train"),
            "cnn_malireddi",
            self.folder,
            augmentation=augmentation,
            bottleneck_dir=Path("/cache"),
        )
        augmented = plots.plot_images(self.task.data, options, logs)
        self.assertEqual(augmented.name, "pictures.png")
        self.assertNotEqual(augmented.read_bytes(), plain)


if __name__ == "__main__":
    absltest.main()
