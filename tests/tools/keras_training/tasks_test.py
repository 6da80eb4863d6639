"""What train_keras refuses to begin: one line with what was given and what to do."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from tests.support import drawn_shapes
from tools.keras_training import tasks
from tools.keras_training.options import Augmentation, Options


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
        cls.arrays = drawn_shapes.write_arrays(cls.folder / "shapes.npz", 60, 30)

    def assert_refused(self, changes: dict[str, object], *parts: str) -> None:
        options = dataclasses.replace(self.options, **changes)
        with self.assertRaises(UserError) as raised:
            tasks.check(options)
            tasks.make(options, tasks.find(options))
        for part in parts:
            self.assertIn(part, str(raised.exception))
        self.assertNotIn("\n", str(raised.exception))

    @parameterized.parameters(
        (dict(architecture="vgg99"), ("--architecture=vgg99", "cnn_chollet", "vgg16")),
        (dict(architecture=""), ("--architecture is needed", "cnn_chollet", "vgg16")),
        (dict(height=15), ("--height=15", "--width=28", "16 x 16")),
        (dict(architecture="cnn_chollet", width=5), ("--width=5", "6 x 6")),
        (dict(fine_tune_layers=3), ("--fine_tune_layers=3", "cnn_malireddi", "vgg16")),
        (dict(weights=Path("/w.h5")), ("--weights=/w.h5", "cnn_malireddi")),
        (dict(train_dir=Path("/nowhere")), ("--train_dir=/nowhere", "does not exist")),
        (dict(val_dir=None), ("--val_dir",)),
        (dict(engine="float32"), ("--engine=float32", "bottlenecks")),
        (dict(engine="abacus"), ("--engine=abacus", "float32")),
        (dict(momentum=0.5), ("--momentum=0.5", "--optimizer=sgd")),
        (dict(val_dir=Path("/nowhere")), ("--val_dir=/nowhere",)),
    )
    def test_from_scratch(self, changes, parts):
        self.assert_refused(changes, *parts)

    @parameterized.parameters(
        (dict(greyscale=True), ("--greyscale", "efficientnet_lite0")),
        (dict(height=100), ("--height=100", "224 x 224")),
        (dict(fine_tune_layers=999), ("--fine_tune_layers=999", " 49 ")),
        (dict(engine="abacus"), ("--engine=abacus",)),
        (dict(weights=Path("/w.h5")), ("--weights=/w.h5",)),
        (dict(engine="int8"), ("--engine=int8", "tensorflow")),
        (dict(engine="float32", fine_tune_layers=1), ("--engine=float32", "bottlenecks")),
        (dict(mixed_precision=True), ("--mixed_precision", "--fine_tune_layers")),
    )
    def test_pretrained(self, changes, parts):
        self.assert_refused({"architecture": "efficientnet_lite0", **changes}, *parts)

    def test_arrays_with_folder(self):
        self.assert_refused({"train_dir": self.arrays}, "--val_dir", str(self.arrays))

    def test_arrays_have_no_bottlenecks(self):
        changes = {"architecture": "efficientnet_lite0", "train_dir": self.arrays, "val_dir": None}
        self.assert_refused(changes, str(self.arrays), "--fine_tune_layers")

    def test_few_images_that_can_be_read_are_enough_to_show(self):
        train_dir = Path(shutil.copytree(self.options.train_dir, self.folder / "few"))
        for class_id in train_dir.iterdir():
            for image in sorted(class_id.iterdir())[3:]:
                image.write_bytes(b"no image")
        options = dataclasses.replace(
            self.options, train_dir=train_dir, architecture="efficientnet_lite0"
        )
        tasks.check(options)
        data = tasks.make(options, tasks.find(options)).data
        self.assertLen(data.shown.class_ids, 9)
        self.assertLen(data.train.class_ids, 9)

    def test_a_class_that_cannot_be_read(self):
        train_dir = Path(shutil.copytree(self.options.train_dir, self.folder / "broken"))
        class_id = min(train_dir.iterdir())
        for image in class_id.iterdir():
            image.write_bytes(b"no image")
        changes = {"architecture": "efficientnet_lite0", "train_dir": train_dir}
        self.assert_refused(changes, f"--train_dir={train_dir} has fewer", class_id.name)

    def test_output_among_the_images(self):
        for flag in ("train_dir", "val_dir"):
            folder = getattr(self.options, flag)
            for output in (folder, folder / "new"):
                self.assert_refused({"output_dir": output}, "--output_dir", f"--{flag}={folder}")

    def test_same_folder_twice(self):
        same = f"--val_dir={self.options.train_dir} is the same folder as --train_dir; give another"
        self.assert_refused({"val_dir": self.options.train_dir}, same)

    def test_grey_arrays_make_a_grey_network(self):
        options = dataclasses.replace(self.options, train_dir=self.arrays, val_dir=None)
        tasks.check(options)
        task = tasks.make(options, tasks.find(options))
        self.assertEqual(task.classifier.input_shape, (None, 28, 28, 1))
        self.assertEqual(task.data.train.inputs.shape, (60, 28, 28, 1))

    def test_varied_images_need_pixels(self):
        changes = dict(architecture="efficientnet_lite0")
        changes["augmentation"] = Augmentation(flip_left_right=True)
        options = dataclasses.replace(self.options, **changes)
        task = tasks.make(options, tasks.find(options))
        self.assertEqual(task.data.train.inputs.shape, (30, 224, 224, 3))
        # Frozen but for the new layer.
        self.assertLen(task.learner.trainable_variables, 2)


if __name__ == "__main__":
    absltest.main()
