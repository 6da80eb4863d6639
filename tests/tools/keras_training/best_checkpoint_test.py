"""After each epoch, the folder holds the best network and the state, whenever the run is killed.

A mock that raises stands in for the kill.
"""

import shutil
import tempfile
import zipfile
from pathlib import Path

from absl.testing import absltest

from retrain.errors import UserError
from tools.keras_training import best_checkpoint, training_state
from tools.keras_training.training_state import TrainingState


class _KilledError(Exception):
    pass


class BestCheckpointTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def model(self):
        from tensorflow import keras

        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    def callback(self, state: TrainingState, *, patience: int = 0):
        """Returns a callback that writes the number of the epoch in place of the network."""

        def write_model(path: Path) -> None:
            path.write_text(f"of epoch {state.epochs}")

        result = best_checkpoint.make_callback(
            self.folder,
            state,
            epochs=9,
            patience=patience,
            write_model=write_model,
            log_epochs=True,
        )
        result.set_model(self.model())
        return result

    def run_epoch(self, callback, epoch: int, val_loss: float) -> None:
        callback.on_epoch_begin(epoch)
        metrics = dict(loss=1.0, accuracy=0.5, val_loss=val_loss, val_accuracy=0.5)
        callback.on_epoch_end(epoch, metrics)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def test_any_damage_of_a_network_is_noticed(self):
        path = self.folder / "network.keras"
        self.assertFalse(best_checkpoint.is_intact(path))
        self.model().save(path)
        self.assertTrue(best_checkpoint.is_intact(path))
        content = path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            start = archive.getinfo("model.weights.h5").header_offset + 100
        changed = content[:start] + bytes([content[start] ^ 1]) + content[start + 1 :]
        for damaged in (b"", content[:-1], content[:500], changed):
            path.write_bytes(damaged)
            self.assertFalse(best_checkpoint.is_intact(path))

    def test_only_the_best_network_stays(self):
        callback = self.callback(TrainingState())
        for epoch, loss in enumerate((0.9, 0.5, 0.7)):
            self.run_epoch(callback, epoch, loss)
        self.assertEqual(self.files(), ["best_model.02-0.50.keras", "training_state.npz"])
        self.assertEqual((self.folder / self.files()[0]).read_text(), "of epoch 2")

    def test_each_epoch_is_logged_in_a_line(self):
        callback = self.callback(TrainingState())
        with self.assertLogs() as logs:
            self.run_epoch(callback, 0, 0.9)
        expected = (
            "INFO:root:Epoch 1 of 9: loss = 1.0000, accuracy = 50.00%, validation loss = 0.9000, "
            "validation accuracy = 50.00%, 0 s."
        )
        self.assertEqual(logs.output, [expected])

    def test_training_stops_when_the_patience_ends(self):
        callback = self.callback(TrainingState(), patience=2)
        stopped = []
        for epoch, loss in enumerate((0.9, 0.5, 0.7, 0.5)):
            self.run_epoch(callback, epoch, loss)
            stopped.append(callback.model.stop_training)
        self.assertEqual(stopped, [False, False, False, True])

    def test_run_that_is_killed_before_it_saves_the_state_repeats_the_epoch(self):
        callback = self.callback(TrainingState())
        self.run_epoch(callback, 0, 0.9)
        with (
            absltest.mock.patch.object(training_state, "save", side_effect=_KilledError),
            self.assertRaises(_KilledError),
        ):
            self.run_epoch(callback, 1, 0.5)
        self.assertLen(list(self.folder.glob("best_model.*")), 2)
        state = training_state.restore(self.folder, self.model())
        self.assertEqual([metrics["val_loss"] for metrics in state.history], [0.9])
        self.run_epoch(self.callback(state), 1, 0.5)
        self.assertEqual(self.files(), ["best_model.02-0.50.keras", "training_state.npz"])

    def test_temporary_files_of_earlier_versions_are_removed(self):
        callback = self.callback(TrainingState())
        self.run_epoch(callback, 0, 0.9)
        for name in (".best_model.01-0.90.x1y2.keras", ".training_state.x1y2.npz", "notes.txt"):
            (self.folder / name).touch()
        best_checkpoint.remove_others(self.folder, "best_model.01-0.90.keras")
        expected = ["best_model.01-0.90.keras", "notes.txt", "training_state.npz"]
        self.assertEqual(self.files(), expected)

    def test_diverged_training_is_refused(self):
        callback = self.callback(TrainingState())
        for loss in (float("nan"), float("inf")):
            with self.assertRaisesRegex(UserError, "epoch 1.*--learning_rate"):
                self.run_epoch(callback, 0, loss)
        self.assertEmpty(self.files())


if __name__ == "__main__":
    absltest.main()
