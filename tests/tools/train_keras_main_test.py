"""train_keras from the command line: accuracy, output files, --resume and wrong flags."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import zipfile
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
from absl.testing import absltest, parameterized

from tests.support import drawn_shapes, programs
from tools.keras_training.run_folder import exclusive_folder

_FILES = {
    *("curves.png", "history.json", "labels.txt", "logs", "model.json", "model.weights.h5"),
    *("pictures.png", "run.json", "training_state.npz"),
}


class TrainKerasMainTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        cls.npz_file = drawn_shapes.write_npz(cls.shared / "shapes.npz")
        cls.train = drawn_shapes.write_folders(cls.shared / "train", 90, seed=2)
        cls.val = drawn_shapes.write_folders(cls.shared / "val", 30, seed=3)

    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.output = self.folder / "output"

    def command(self, *flags: object, output: Path | None = None) -> list[str]:
        return programs.command(
            "train_keras",
            f"--output_dir={output or self.output}",
            "--architecture=cnn_malireddi",
            f"--bottleneck_dir={self.folder}/cache",
            *flags,
        )

    def run_program(self, *flags: object, output: Path | None = None) -> CompletedProcess:
        return subprocess.run(
            self.command(*flags, output=output),
            capture_output=True,
            text=True,
            env=programs.environment(),
        )

    def train_model(self, *flags: object, output: Path | None = None) -> CompletedProcess:
        done = self.run_program(*flags, output=output)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def assert_refused(self, done: CompletedProcess, *parts: str) -> None:
        self.assertEqual(done.returncode, 1, done.stderr)
        *_, last = done.stderr.splitlines()
        for part in ("Error: ", *parts):
            self.assertIn(part, last)
        self.assertNotIn("Traceback", done.stderr)

    def test_arrays_train_a_network_that_keras_loads(self):
        done = self.train_model(
            f"--train_dir={self.npz_file}", "--epochs=12", "--batch_size=50", "--dropout=0.1"
        )
        (best,) = self.output.glob("best_model.*.keras")
        self.assertEqual({path.name for path in self.output.iterdir()} - _FILES, {best.name})
        history = json.loads((self.output / "history.json").read_text())
        losses = [epoch["val_loss"] for epoch in history]
        epoch = int(np.argmin(losses))
        self.assertEqual(best.name, f"best_model.{epoch + 1:02d}-{losses[epoch]:.2f}.keras")
        self.assertGreater(history[epoch]["val_accuracy"], 0.95)
        self.assertIn(f"{100 * history[epoch]['val_accuracy']:.2f}% (N=150)", done.stdout)
        self.assertLen(done.stderr.splitlines(), 13)
        self.assertEqual((self.output / "labels.txt").read_text(), "0\n1\n2\n")

        from tensorflow import keras

        images, class_ids = drawn_shapes.draw(150, seed=1)
        images = images[..., np.newaxis]
        predictions = keras.models.load_model(best).predict(images, verbose=0)
        accuracy = np.mean(predictions.argmax(axis=1) == class_ids)
        self.assertAlmostEqual(accuracy, history[epoch]["val_accuracy"], places=5)
        rebuilt = keras.models.model_from_json((self.output / "model.json").read_text())
        rebuilt.load_weights(self.output / "model.weights.h5")
        np.testing.assert_array_equal(rebuilt.predict(images, verbose=0), predictions)
        with zipfile.ZipFile(best) as archive:
            self.assertEqual(archive.read("labels.txt"), b"0\n1\n2\n")
            metadata = json.loads(archive.read("retrain_metadata.json"))
        self.assertEqual([metadata["height"], metadata["width"]], [28, 28])

    def test_folders_train_a_grey_network_of_another_size(self):
        self.train_model(
            *(f"--train_dir={self.train}", f"--val_dir={self.val}", "--greyscale"),
            *("--height=24", "--width=20", "--epochs=2", "--optimizer=sgd", "--learning_rate=0.05"),
            *("--label_smoothing=0.1", "--class_weights=balanced", "--flip_left_right"),
            *("--learning_rate_schedule=cosine", "--random_brightness=20"),
        )
        self.assertEqual((self.output / "labels.txt").read_text(), "bar\ncross\nring\n")

        from tensorflow import keras

        (best,) = self.output.glob("best_model.*.keras")
        self.assertEqual(keras.models.load_model(best).input_shape, (None, 24, 20, 1))

    def test_tensorboard_reads_metrics_and_plots(self):
        self.train_model(f"--train_dir={self.npz_file}", "--epochs=2")

        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        for run in ("train", "validation"):
            events = EventAccumulator(str(self.output / "logs" / run)).Reload()
            tensors = events.Tensors("epoch_loss")
            self.assertEqual([event.step for event in tensors], [0, 1])
        plots = EventAccumulator(str(self.output / "logs" / "drawings")).Reload()
        self.assertEqual(set(plots.Tags()["images"]), {"pictures", "curves"})

    def test_patience_stops_the_training(self):
        done = self.train_model(
            *(f"--train_dir={self.npz_file}", "--epochs=30", "--patience=2"),
            *("--optimizer=sgd", "--learning_rate=1e-12"),
        )
        epochs = len(json.loads((self.output / "history.json").read_text()))
        self.assertBetween(epochs, 3, 8, done.stderr)

    def test_killed_and_resumed_training_has_the_same_result(self):
        flags = (f"--train_dir={self.npz_file}", "--epochs=5", "--random_shift=10")
        flags += ("--random_rotation=15", "--random_scale=10", "--learning_rate_schedule=cosine")
        whole = self.folder / "whole"
        self.train_model(*flags, output=whole)
        # Kills it at the first line, after one epoch, and after two more epochs.
        for text in ("parameters", "Epoch 1", "Epoch 3"):
            self.kill_after(text, *flags, "--resume")
        done = self.train_model(*flags, "--resume")
        self.assertIn("3 epochs are already finished", done.stderr)
        self.assertNotIn("Epoch 3", done.stderr)
        self.assert_same_results(whole, self.output)
        # All epochs are finished now.
        done = self.train_model(*flags, "--resume")
        self.assertNotIn("Epoch", done.stderr)
        self.assert_same_results(whole, self.output)

    def kill_after(self, text: str, *flags: object) -> None:
        with subprocess.Popen(
            self.command(*flags), stderr=subprocess.PIPE, text=True, env=programs.environment()
        ) as process:
            for line in process.stderr or ():
                if text in line:
                    break
            else:
                self.fail(f"the program ended before it printed {text}")
            process.send_signal(signal.SIGKILL)
        self.assertEqual(process.returncode, -signal.SIGKILL)

    def assert_same_results(self, first: Path, second: Path) -> None:
        names = [{p.name for p in folder.iterdir()} for folder in (first, second)]
        self.assertEqual(*names)
        for name in ("history.json", "model.json", "curves.png", "pictures.png", "labels.txt"):
            self.assertEqual((first / name).read_bytes(), (second / name).read_bytes(), name)
        with (
            np.load(first / "training_state.npz") as one,
            np.load(second / "training_state.npz") as other,
        ):
            self.assertEqual(one.files, other.files)
            for name in one.files:
                np.testing.assert_array_equal(one[name], other[name])
        self.assertEqual(*[_weights(folder) for folder in (first, second)])

    def test_resumed_with_more_epochs(self):
        flags = (f"--train_dir={self.npz_file}", "--batch_size=200")
        self.train_model(*flags, "--epochs=3", output=self.folder / "whole")
        self.train_model(*flags, "--epochs=1")
        self.train_model(*flags, "--epochs=3", "--resume")
        self.assert_same_results(self.folder / "whole", self.output)

    def test_resume_of_another_run_is_refused(self):
        flags = (f"--train_dir={self.npz_file}", "--epochs=1")
        self.train_model(*flags)
        before = _contents(self.output)
        done = self.run_program(*flags, "--resume", "--learning_rate=0.1")
        self.assert_refused(done, "--resume", "learning_rate", "0.001", "0.1")
        other = drawn_shapes.write_npz(self.folder / "other.npz", train=601)
        done = self.run_program(f"--train_dir={other}", "--resume", "--epochs=1")
        self.assert_refused(done, "--resume", f"other images; use --train_dir={self.npz_file},")
        done = self.run_program(*flags)
        self.assert_refused(done, "--output_dir", "not empty", "--resume")
        self.assertEqual(_contents(self.output), before)

    def test_resume_with_fewer_epochs_is_refused(self):
        flags = (f"--train_dir={self.npz_file}", "--batch_size=200")
        self.train_model(*flags, "--epochs=2")
        before = _contents(self.output)
        done = self.run_program(*flags, "--epochs=1", "--resume")
        self.assert_refused(done, "2 finished epochs, more than --epochs=1")
        self.assertEqual(_contents(self.output), before)

    def test_folder_with_other_files_is_refused(self):
        self.output.mkdir()
        (self.output / "thesis.txt").write_text("all I have")
        for flag in ("--resume", "--noresume"):
            done = self.run_program(f"--train_dir={self.npz_file}", flag)
            self.assert_refused(done, str(self.output), "thesis.txt")
        self.assertEqual(_contents(self.output), {"thesis.txt": b"all I have"})

    def test_folder_that_another_run_uses_is_refused(self):
        flags = (f"--train_dir={self.npz_file}", "--epochs=1")
        with exclusive_folder(self.output):
            self.assert_refused(self.run_program(*flags), "another train_keras", str(self.output))
        self.train_model(*flags)

    def test_resume_without_the_best_network_is_refused(self):
        flags = (f"--train_dir={self.npz_file}", "--epochs=1")
        self.train_model(*flags)
        (best,) = self.output.glob("*.keras")
        best.unlink()
        self.assert_refused(self.run_program(*flags, "--resume"), "--resume", best.name)
        (self.output / "run.json").unlink()
        (self.output / "run.json").mkdir()
        self.assert_refused(self.run_program(*flags, "--resume"), "run.json")

    def test_resume_with_a_damaged_state_is_refused(self):
        flags = (f"--train_dir={self.npz_file}", "--epochs=2")
        self.train_model(*flags)
        file = self.output / "training_state.npz"
        file.write_bytes(file.read_bytes()[:1000])
        self.assert_refused(self.run_program(*flags, "--resume"), "training_state.npz", "damaged")

    @parameterized.parameters(
        (("--architecture=vgg99",), ("--architecture=vgg99", "cnn_chollet", "efficientnet_lite0")),
        (("--dropout=1",), ("--dropout", "1")),
        (("--learning_rate=nan",), ("--learning_rate", "nan")),
        (("--random_shift=101",), ("--random_shift", "101")),
        (("--class_weights=bar:2",), ("--class_weights=bar:2",)),
        (("--seed=4294967296",), ("--seed", "4294967296")),
        (("--height=200000",), ("--height", "200000")),
        (("--epochs=0",), ("--epochs",)),
        (("--train_dir=",), ("--train_dir is required",)),
        (("word",), ("word",)),
    )
    def test_wrong_flags_are_refused(self, flags, parts):
        done = self.run_program(f"--train_dir={self.train}", f"--val_dir={self.val}", *flags)
        self.assert_refused(done, *parts)
        self.assertFalse(self.output.exists())

    def test_diverging_training_is_refused(self):
        done = self.run_program(
            *(f"--train_dir={self.npz_file}", "--optimizer=sgd", "--learning_rate=1e30"),
            "--epochs=3",
        )
        self.assert_refused(done, "--learning_rate")

    def test_terminal_shows_the_progress_bar_of_keras(self):
        import pty  # Windows does not have it.

        leader, follower = pty.openpty()
        flags = (f"--train_dir={self.npz_file}", "--epochs=2")
        with subprocess.Popen(
            self.command(*flags),
            stdout=follower,
            stderr=subprocess.PIPE,
            env=programs.environment(),
        ) as process:
            os.close(follower)
            output = b""
            try:
                while chunk := os.read(leader, 4096):
                    output += chunk
            except OSError:  # Linux reports the end of the output as an error.
                pass
            errors = process.stderr.read()
        os.close(leader)
        self.assertEqual(process.returncode, 0, errors)
        self.assertIn(b"Epoch 2/2", output)
        self.assertIn(b"val_accuracy", output)
        self.assertNotIn(b"Epoch 1 of 2", errors)


class PretrainedTest(absltest.TestCase):
    """Trains the pretrained network that comes with the program."""

    def test_network_trained_on_bottlenecks_has_the_same_loss_on_pixels(self):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        train = programs.draw_colours(folder / "train", count=8)
        val = programs.draw_colours(folder / "val", count=3)
        flags = (f"--train_dir={train}", f"--val_dir={val}", "--architecture=efficientnet_lite0")
        flags += (f"--bottleneck_dir={folder}/cache", "--epochs=8", "--learning_rate=0.01")
        for number in range(2):
            done = programs.run("train_keras", *flags, f"--output_dir={folder}/{number}")
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("0 computed, 33 from the cache", done.stderr)
        # The output layer has 1280 weights and a bias for each of three labels.
        self.assertIn("3,353,843 parameters (3,843 trainable) on 24 bottlenecks", done.stderr)
        self.assertEqual(_weights(folder / "0"), _weights(folder / "1"))

        from tensorflow import keras

        from retrain.data import pixels

        (best,) = (folder / "0").glob("best_model.*.keras")
        network = keras.models.load_model(best)
        labels = (folder / "0" / "labels.txt").read_text().split()
        losses = []
        for path in sorted(val.glob("*/*")):
            image = pixels.decode(path.read_bytes(), 224, 224)[np.newaxis].astype(np.float32)
            probabilities = network.predict(image, verbose=0)[0]
            losses.append(-np.log(probabilities[labels.index(path.parent.name.lower())]))
        history = json.loads((folder / "0" / "history.json").read_text())
        val_loss = min(epoch["val_loss"] for epoch in history)
        self.assertAlmostEqual(np.mean(losses), val_loss, delta=0.002)
        self.assertLess(val_loss, 0.3)

    def test_resume_accepts_moved_images_and_refuses_others_before_reading_them(self):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        train = programs.draw_colours(folder / "train", count=4)
        val = programs.draw_colours(folder / "val", count=2)
        flags = ("--architecture=efficientnet_lite0", f"--bottleneck_dir={folder}/cache")
        flags += (f"--output_dir={folder}/out", "--resume", f"--val_dir={val}")
        done = programs.run("train_keras", *flags, f"--train_dir={train}", "--epochs=1")
        self.assertEqual(done.returncode, 0, done.stderr)

        other = programs.draw_colours(folder / "other", count=5)
        done = programs.run("train_keras", *flags, f"--train_dir={other}", "--epochs=2")
        self.assertEqual(done.returncode, 1, done.stderr)
        # A single line: no bottlenecks were computed.
        (line,) = done.stderr.splitlines()
        self.assertIn(f"other images; use --train_dir={train} --val_dir={val},", line)
        done = programs.run(
            "train_keras", *flags, f"--train_dir={train}", "--epochs=2", "--learning_rate=0.1"
        )
        self.assertEqual(done.returncode, 1, done.stderr)
        (line,) = done.stderr.splitlines()
        self.assertIn("learning_rate=0.001, not 0.1", line)

        moved = train.rename(folder / "moved")
        done = programs.run("train_keras", *flags, f"--train_dir={moved}", "--epochs=2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1 epoch is already finished", done.stderr)

    def test_only_the_last_layer_of_the_backbone_is_fine_tuned(self):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        train = programs.draw_colours(folder / "train", count=4)
        val = programs.draw_colours(folder / "val", count=2)
        done = programs.run(
            "train_keras",
            *(f"--train_dir={train}", f"--val_dir={val}", "--architecture=efficientnet_lite0"),
            *(f"--output_dir={folder}/out", "--epochs=1", "--fine_tune_layers=1"),
        )
        self.assertEqual(done.returncode, 0, done.stderr)

        from tensorflow import keras

        from retrain.backbones import efficientnet_lite0

        (best,) = (folder / "out").glob("best_model.*.keras")
        before = keras.models.load_model(efficientnet_lite0.load().keras_file)
        (after,) = [
            layer
            for layer in keras.models.load_model(best).layers
            if len(layer.weights) == len(before.weights)
        ]
        changed = {
            old.path.split("/")[0]
            for old, new in zip(before.weights, after.weights, strict=True)
            if not np.array_equal(old.numpy(), new.numpy())
        }
        self.assertLen(changed, 1)


def _weights(folder: Path) -> list[bytes]:
    from tensorflow import keras

    (best,) = folder.glob("best_model.*.keras")
    return [weight.tobytes() for weight in keras.models.load_model(best).get_weights()]


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


if __name__ == "__main__":
    absltest.main()
