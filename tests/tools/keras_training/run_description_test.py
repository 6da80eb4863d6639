"""A run is resumed only with the same options and images, and a refusal says what differs."""

import json
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.errors import UserError
from tools.keras_training import run_description
from tools.keras_training.options import COSINE, Options

_FOLDERS = {"train_dir": "/t", "val_dir": "/v"}
_HASHES = {"names": "n", "pictures": "p"}


class RunDescriptionTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def assert_refused(self, difference: str, description: dict[str, str]) -> None:
        with self.assertRaises(UserError) as raised:
            run_description.check(self.folder, description)
        message = f"--resume: {self.folder} contains a run with {difference}, or choose a new "
        self.assertStartsWith(str(raised.exception), message)

    def test_keys_are_those_of_earlier_versions(self):
        options = Options(Path("/t.npz"), "cnn_chollet", Path("/o"), bottleneck_dir=Path("/cache"))
        description = run_description.describe_inputs(options, None)
        expected = {
            *("train_dir", "architecture", "greyscale", "height", "width", "dropout", "optimizer"),
            *("fine_tune_layers", "learning_rate", "momentum", "schedule", "label_smoothing"),
            *("class_weights", "mixed_precision", "augmentation", "seed"),
        }
        # Runs of earlier versions stretched images, and did not have this key.
        self.assertEqual(set(description), {*expected, "fit"})
        names = {"random_shift", "random_rotation", "random_scale", "random_brightness"}
        self.assertEqual(set(description["augmentation"]), {*names, "flip_left_right"})

    def test_number_of_epochs_matters_only_for_a_cosine_schedule(self):
        options = Options(
            Path("/t.npz"),
            "cnn_chollet",
            Path("/o"),
            bottleneck_dir=Path("/cache"),
            schedule=COSINE,
            epochs=7,
        )
        self.assertEqual(run_description.describe_inputs(options, None)["epochs"], 7)

    def test_description_is_written_once(self):
        run_description.write(self.folder, {"seed": 0})
        run_description.write(self.folder, {"seed": 0})
        self.assertEqual(json.loads((self.folder / "run.json").read_text()), {"seed": 0})
        with self.assertRaisesRegex(UserError, "seed=0, not 1"):
            run_description.write(self.folder, {"seed": 1})

    def test_a_run_with_another_fit_is_refused(self):
        run_description.write(self.folder, {"seed": 0})
        run_description.check(self.folder, {"seed": 0, "fit": "stretch"})
        self.assert_refused("fit='stretch', not 'crop'; use the same value", {"fit": "crop"})

    def test_damaged_description_is_refused(self):
        for damaged in (b"", b"[1", b"[1]", b"7", b"\xff", b"[" * 200_000):
            (self.folder / "run.json").write_bytes(damaged)
            with self.assertRaisesRegex(UserError, "run.json is not the description of a run"):
                run_description.write(self.folder, {"seed": 0})

    def test_folder_without_a_run_is_accepted(self):
        run_description.check(self.folder / "new", {"seed": 0})

    def test_moved_folders_with_the_same_images_are_accepted(self):
        saved = _FOLDERS | _HASHES
        run_description.write(self.folder, saved)
        run_description.check(self.folder, saved | {"train_dir": "/moved"})

    def test_other_images_are_refused_with_the_folders_of_the_run(self):
        run_description.write(self.folder, _FOLDERS | _HASHES)
        difference = "other images; use --train_dir=/t --val_dir=/v"
        others = {"train_dir": "/t", "val_dir": "/other"}
        self.assert_refused(difference, others | {"names": "other"})
        self.assert_refused(difference, others | _HASHES | {"pictures": "other"})

    def test_changed_images_are_refused(self):
        run_description.write(self.folder, _FOLDERS | _HASHES)
        # A removed file that was unreadable changes the names, but not the examples.
        run_description.check(self.folder, _FOLDERS | {"names": "other"})
        changed = "those of --train_dir=/t --val_dir=/v have changed since then; restore them"
        self.assert_refused(f"other images: {changed}", _FOLDERS | {"pictures": "other"})

    def test_other_options_are_refused_with_both_values(self):
        run_description.write(self.folder, _FOLDERS | {"backbone": "b", "seed": "0"})
        weights = "another pretrained network; use the same --weights"
        self.assert_refused(weights, _FOLDERS | {"backbone": "other"})
        self.assert_refused("seed='0', not '1'; use the same value", _FOLDERS | {"seed": "1"})

    def test_description_without_folders_is_accepted(self):
        # Early versions did not save the folders.
        run_description.write(self.folder, {"pictures": "p"})
        run_description.check(self.folder, {"train_dir": "/t", "names": "n", "pictures": "p"})
        self.assert_refused("other images; use the same images", {"pictures": "other"})


if __name__ == "__main__":
    absltest.main()
