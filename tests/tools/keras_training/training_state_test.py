"""The state of a training comes back from its file, and says which epoch is the best."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.errors import UserError
from tools.keras_training import training_state
from tools.keras_training.training_state import TrainingState


def _state(*losses: float) -> TrainingState:
    others = {"accuracy": 0.5, "loss": 1.0, "val_accuracy": 0.25}
    return TrainingState([{**others, "val_loss": loss} for loss in losses])


class TrainingStateTest(absltest.TestCase):
    def test_best_epoch_is_the_first_with_the_smallest_validation_loss(self):
        state = _state(0.9, 0.5, 0.7, 0.5)
        self.assertEqual(state.epochs, 4)
        self.assertEqual(state.best_epoch, 1)
        self.assertEqual(state.best_model_file, "best_model.02-0.50.keras")

    def test_new_training_has_no_best_epoch(self):
        state = TrainingState()
        self.assertEqual((state.epochs, state.best_epoch), (0, -1))
        self.assertEqual(state.best_model_file, "")
        self.assertFalse(state.has_converged(1))

    def test_convergence_after_epochs_without_improvement(self):
        state = _state(0.9, 0.5, 0.7, 0.5)
        self.assertTrue(state.has_converged(2))
        self.assertFalse(state.has_converged(3))
        self.assertFalse(state.has_converged(0))


class FileTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def model(self, *, units: int = 1):
        from tensorflow import keras

        layers = [keras.Input((2,)), keras.layers.Dense(units), keras.layers.Dropout(0.5)]
        model = keras.Sequential(layers)
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        return model

    def trained_model(self):
        model = self.model()
        model.fit(np.ones((8, 2)), np.ones(8), verbose=0)
        return model

    def variables(self, model) -> list:
        return [*model.variables, *model.optimizer.variables]

    def assert_same_variables(self, first, second) -> None:
        for one, other in zip(self.variables(first), self.variables(second), strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())

    def test_weights_dropout_seeds_and_optimizer_are_restored(self):
        first, second = self.trained_model(), self.model()
        training_state.save(self.folder, _state(1.5), first)
        self.assertEqual(training_state.restore(self.folder, second), _state(1.5))
        self.assert_same_variables(first, second)

    def test_file_of_an_earlier_version_is_restored(self):
        first, second = self.trained_model(), self.model()
        arrays = {f"{row:06}": array.numpy() for row, array in enumerate(self.variables(first))}
        progress = {
            "history": _state(1.5).history,
            **{"best_epoch": 0, "best_loss": 1.5, "checkpoint": "best_model.01-1.50.keras"},
        }
        arrays["progress"] = np.array(json.dumps(progress))
        np.savez(self.folder / "training_state.npz", **arrays)
        state = training_state.restore(self.folder, second)
        self.assertEqual(state, _state(1.5))
        self.assertEqual(state.best_model_file, progress["checkpoint"])
        self.assert_same_variables(first, second)

    def test_file_of_another_network_is_refused(self):
        training_state.save(self.folder, TrainingState(), self.model())
        with self.assertRaisesRegex(UserError, "training_state.npz"):
            training_state.restore(self.folder, self.model(units=3))

    def test_without_a_file_no_epoch_is_finished(self):
        self.assertEqual(training_state.restore(self.folder, self.model()).epochs, 0)


if __name__ == "__main__":
    absltest.main()
