"""Tasks have the model and the data that the options ask for, or one line says why not."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from tests.support import drawn_shapes
from tools.keras_training import checks, tasks
from tools.keras_training.options import Augmentation, Options
from tools.keras_training.tasks import Task


class TasksTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.options = Options(
            train_dir=drawn_shapes.write_folders(cls.folder / "train", 30, seed=0),
            val_dir=drawn_shapes.write_folders(cls.folder / "val", 12, seed=1),
            architecture="cnn_malireddi",
            output_dir=cls.folder / "output",
            bottleneck_dir=cls.folder / "cache",
        )
        cls.npz_file = drawn_shapes.write_npz(cls.folder / "shapes.npz", train=60, test=30)

    def load(self, **changes: object) -> Task:
        options = dataclasses.replace(self.options, **changes)
        checks.check(options)
        return tasks.load(options, tasks.scan_folders(options))

    def assert_refused(self, changes: dict[str, object], *parts: str) -> None:
        with self.assertRaises(UserError) as raised:
            self.load(**changes)
        for part in parts:
            self.assertIn(part, str(raised.exception))
        self.assertNotIn("\n", str(raised.exception))

    def test_missing_validation_folder_is_refused(self):
        self.assert_refused({"val_dir": Path("/nowhere")}, "--val_dir=/nowhere")

    def test_same_folder_twice_is_refused(self):
        flags = f"--val_dir={self.options.train_dir} is the same folder as --train_dir"
        self.assert_refused({"val_dir": self.options.train_dir}, flags)

    @parameterized.parameters(
        (dict(height=100), ("--height=100", "224 x 224")),
        (dict(fine_tune_layers=999), ("--fine_tune_layers=999", " 49 ")),
        (dict(weights=Path("/w.h5")), ("--weights=/w.h5",)),
    )
    def test_options_that_the_pretrained_network_does_not_have_are_refused(self, changes, parts):
        self.assert_refused({"architecture": "efficientnet_lite0", **changes}, *parts)

    def test_arrays_without_bottlenecks_are_refused(self):
        changes = {
            "architecture": "efficientnet_lite0",
            **{"train_dir": self.npz_file, "val_dir": None},
        }
        self.assert_refused(changes, str(self.npz_file), "--fine_tune_layers")

    def test_class_without_readable_images_is_refused(self):
        train_dir = Path(shutil.copytree(self.options.train_dir, self.folder / "broken"))
        class_folder = min(train_dir.iterdir())
        for image in class_folder.iterdir():
            image.write_bytes(b"no image")
        changes = {"architecture": "efficientnet_lite0", "train_dir": train_dir}
        self.assert_refused(changes, f"--train_dir={train_dir} has fewer", class_folder.name)

    def test_preview_has_only_readable_images(self):
        train_dir = Path(shutil.copytree(self.options.train_dir, self.folder / "few"))
        for class_folder in train_dir.iterdir():
            for image in sorted(class_folder.iterdir())[3:]:
                image.write_bytes(b"no image")
        data = self.load(train_dir=train_dir, architecture="efficientnet_lite0").data
        self.assertLen(data.preview.class_ids, 9)
        self.assertLen(data.train.class_ids, 9)

    def test_grey_arrays_make_a_grey_network(self):
        task = self.load(train_dir=self.npz_file, val_dir=None)
        self.assertEqual(task.classifier.input_shape, (None, 28, 28, 1))
        self.assertEqual(task.data.train.inputs.shape, (60, 28, 28, 1))

    def test_bottlenecks_train_the_new_layer(self):
        task = self.load(architecture="efficientnet_lite0")
        self.assertEqual(task.data.train.inputs.shape, (30, 1280))
        self.assertEqual(task.data.validation.inputs.shape, (12, 1280))
        self.assertEqual(task.model.input_shape, (None, 1280))
        self.assertEqual(task.classifier.input_shape, (None, 224, 224, 3))
        kernel, bias = task.model.trainable_variables
        self.assertIs(task.classifier.layers[-1].kernel, kernel)
        self.assertIs(task.classifier.layers[-1].bias, bias)

    def test_augmentation_needs_pixels(self):
        task = self.load(
            architecture="efficientnet_lite0", augmentation=Augmentation(flip_left_right=True)
        )
        self.assertEqual(task.data.train.inputs.shape, (30, 224, 224, 3))
        # All layers are frozen except the new one.
        self.assertLen(task.model.trainable_variables, 2)


if __name__ == "__main__":
    absltest.main()
