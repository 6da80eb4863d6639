"""After each epoch the folder has the best network and where the training stands, whenever killed.

A failure stands for the kill: of the state when it is written, or of what comes after it.
"""

import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.errors import UserError
from tools.keras_training import best_checkpoint, checkpoint
from tools.keras_training.checkpoint import Progress


class _KilledError(Exception):
    pass


def _write(path: Path, text: str) -> None:
    path.write_text(text)


class KeeperTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def model(self):
        from tensorflow import keras

        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    def watch(self, progress: Progress, patience: int = 0):
        """Returns a callback whose checkpoints have the name of the epoch in them."""
        result = best_checkpoint.callback(
            self.folder,
            progress,
            epochs=9,
            patience=patience,
            write=lambda path: _write(path, f"of epoch {len(progress.history)}"),
            tell=True,
        )
        result.set_model(self.model())
        return result

    def epoch(self, watcher, number: int, val_loss: float) -> None:
        watcher.on_epoch_begin(number)
        measured = dict(loss=1.0, accuracy=0.5, val_loss=val_loss, val_accuracy=0.5)
        watcher.on_epoch_end(number, measured)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def test_only_the_best_stays(self):
        watcher = self.watch(Progress())
        for number, loss in enumerate((0.9, 0.5, 0.7)):
            self.epoch(watcher, number, loss)
        self.assertEqual(self.files(), ["best_model.02-0.50.keras", "training_state.npz"])
        self.assertEqual((self.folder / self.files()[0]).read_text(), "of epoch 2")

    def test_patience(self):
        progress = Progress()
        watcher = self.watch(progress, patience=2)
        stopped = []
        for number, loss in enumerate((0.9, 0.5, 0.7, 0.5)):
            self.epoch(watcher, number, loss)
            stopped.append(watcher.model.stop_training)
        self.assertEqual(stopped, [False, False, False, True])
        self.assertTrue(progress.is_over(2))
        self.assertFalse(progress.is_over(3))
        self.assertFalse(progress.is_over(0))

    def test_killed_before_the_state_is_written(self):
        watcher = self.watch(Progress())
        self.epoch(watcher, 0, 0.9)
        with (
            absltest.mock.patch.object(checkpoint, "save", side_effect=_KilledError),
            self.assertRaises(_KilledError),
        ):
            self.epoch(watcher, 1, 0.5)
        self.assertLen(list(self.folder.glob("best_model.*")), 2)
        progress = checkpoint.load(self.folder, self.model())
        self.assertEqual((progress.epochs, progress.best_loss), (1, 0.9))
        self.epoch(self.watch(progress), 1, 0.5)
        self.assertEqual(self.files(), ["best_model.02-0.50.keras", "training_state.npz"])

    def test_what_a_killed_run_had_begun_goes(self):
        watcher = self.watch(Progress())
        self.epoch(watcher, 0, 0.9)
        for name in (".best_model.01-0.90.x1y2.keras", ".training_state.x1y2.npz", "notes.txt"):
            (self.folder / name).touch()
        best_checkpoint.remove_others(self.folder, "best_model.01-0.90.keras")
        left = ["best_model.01-0.90.keras", "notes.txt", "training_state.npz"]
        self.assertEqual(self.files(), left)

    def test_numbers_beyond_all_bounds(self):
        watcher = self.watch(Progress())
        for loss in (float("nan"), float("inf")):
            with self.assertRaisesRegex(UserError, "epoch 1.*--learning_rate"):
                self.epoch(watcher, 0, loss)
        self.assertEmpty(self.files())


class StateTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def model(self, units: int = 1):
        from tensorflow import keras

        layers = [keras.Input((2,)), keras.layers.Dense(units), keras.layers.Dropout(0.5)]
        model = keras.Sequential(layers)
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        return model

    def test_weights_draws_and_optimizer_come_back(self):
        import numpy as np

        first, second = self.model(), self.model()
        first.fit(np.ones((8, 2)), np.ones(8), verbose=0)
        progress = Progress([{"loss": 1.5}], 0, 1.5, "best_model.01-1.50.keras")
        checkpoint.save(self.folder, progress, first)
        self.assertEqual(checkpoint.load(self.folder, second), progress)
        pairs = zip(
            [*first.variables, *first.optimizer.variables],
            [*second.variables, *second.optimizer.variables],
            strict=True,
        )
        for one, other in pairs:
            np.testing.assert_array_equal(one.numpy(), other.numpy())

    def test_of_another_network(self):
        checkpoint.save(self.folder, Progress(), self.model())
        with self.assertRaisesRegex(UserError, "training_state.npz"):
            checkpoint.load(self.folder, self.model(units=3))

    def test_none_yet(self):
        self.assertEqual(checkpoint.load(self.folder, self.model()).epochs, 0)

    def test_a_description_that_is_none(self):
        (self.folder / checkpoint.DESCRIPTION_FILE).write_text("[1")
        with self.assertRaisesRegex(UserError, "run.json"):
            checkpoint.begin(self.folder, {"seed": 0}, resume=True)

    def assert_refused(self, text: str, **known: str) -> None:
        with self.assertRaises(UserError) as raised:
            checkpoint.check(self.folder, known)
        self.assertIn(f"has a run with {text}, or name a new", str(raised.exception))

    def test_other_images_are_named_by_their_places(self):
        places = dict(train_dir="/t", val_dir="/v")
        begun = places | dict(names="n", images="p", backbone="b", seed="0")
        checkpoint.begin(self.folder, begun, resume=False)
        checkpoint.check(self.folder, begun | {"train_dir": "/moved"})
        moved = "other images, those of --train_dir=/t --val_dir=/v; give these"
        self.assert_refused(moved, train_dir="/t", val_dir="/t", names="other")
        self.assert_refused(moved, train_dir="/t", val_dir="/t", names="n", images="other")
        # One that could not be read is no longer there.
        checkpoint.check(self.folder, places | {"names": "other"})
        changed = "those of --train_dir=/t --val_dir=/v have changed since; give them as they were"
        self.assert_refused(f"other images: {changed}", **places, images="other")
        self.assert_refused(
            "another pretrained network; give the --weights it was begun with",
            **(places | {"backbone": "other"}),
        )
        self.assert_refused(
            "other seed: '0', not '1'; give what it was begun with", **(places | {"seed": "1"})
        )

    def test_a_run_of_a_version_that_did_not_write_places(self):
        checkpoint.begin(self.folder, {"pictures": "p"}, resume=False)
        checkpoint.check(self.folder, {"train_dir": "/t", "names": "n", "pictures": "p"})
        self.assert_refused("other images; give those it was begun with", images="other")


if __name__ == "__main__":
    absltest.main()
