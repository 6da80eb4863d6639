"""Options that contradict one another are refused with one line, before anything is read."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from tools.keras_training import checks
from tools.keras_training.options import Augmentation, Options


class ChecksTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for name in ("train", "val"):
            (cls.folder / name).mkdir()
        cls.npz_file = cls.folder / "images.npz"
        cls.npz_file.touch()
        cls.options = Options(
            train_dir=cls.folder / "train",
            val_dir=cls.folder / "val",
            architecture="cnn_malireddi",
            output_dir=cls.folder / "output",
            bottleneck_dir=cls.folder / "cache",
        )

    def assert_refused(self, changes: dict[str, object], *parts: str) -> None:
        with self.assertRaises(UserError) as raised:
            checks.check(dataclasses.replace(self.options, **changes))
        for part in parts:
            self.assertIn(part, str(raised.exception))
        self.assertNotIn("\n", str(raised.exception))

    @parameterized.parameters("cnn_malireddi", "cnn_chollet", "efficientnet_lite0", "vgg16")
    def test_known_architectures_are_accepted(self, architecture):
        checks.check(dataclasses.replace(self.options, architecture=architecture))

    @parameterized.parameters(
        (dict(architecture="vgg99"), ("--architecture=vgg99", "cnn_chollet", "vgg16")),
        (dict(architecture=""), ("--architecture is required", "cnn_chollet", "vgg16")),
        (dict(height=15), ("--height=15", "--width=28", "16 x 16")),
        (dict(architecture="cnn_chollet", width=5), ("--width=5", "6 x 6")),
        (dict(fine_tune_layers=3), ("--fine_tune_layers=3", "cnn_malireddi", "vgg16")),
        (dict(weights=Path("/w.h5")), ("--weights=/w.h5", "cnn_malireddi")),
        (dict(train_dir=Path("/nowhere")), ("--train_dir=/nowhere", "does not exist")),
        (dict(val_dir=None), ("--val_dir",)),
        (dict(engine="float32"), ("--engine=float32", "bottlenecks")),
        (dict(engine="abacus"), ("--engine=abacus", "float32")),
        (dict(momentum=0.5), ("--momentum=0.5", "--optimizer=sgd")),
    )
    def test_options_from_scratch_are_refused(self, changes, parts):
        self.assert_refused(changes, *parts)

    @parameterized.parameters(
        (dict(greyscale=True), ("--greyscale", "efficientnet_lite0")),
        (dict(engine="abacus"), ("--engine=abacus",)),
        (dict(engine="int8"), ("--engine=int8", "tensorflow")),
        (dict(engine="float32", fine_tune_layers=1), ("--engine=float32", "bottlenecks")),
        (dict(mixed_precision=True), ("--mixed_precision", "--fine_tune_layers")),
    )
    def test_options_of_pretrained_networks_are_refused(self, changes, parts):
        self.assert_refused({"architecture": "efficientnet_lite0", **changes}, *parts)

    def test_file_of_arrays_with_a_validation_folder_is_refused(self):
        self.assert_refused({"train_dir": self.npz_file}, "--val_dir", str(self.npz_file))

    def test_output_folder_inside_an_image_folder_is_refused(self):
        for flag in ("train_dir", "val_dir"):
            folder = getattr(self.options, flag)
            for output in (folder, folder / "new"):
                self.assert_refused({"output_dir": output}, "--output_dir", f"--{flag}={folder}")

    def test_bottlenecks_are_used_if_only_the_new_layer_learns(self):
        def uses_bottlenecks(**changes) -> bool:
            return checks.uses_bottlenecks(dataclasses.replace(self.options, **changes))

        self.assertTrue(uses_bottlenecks(architecture="vgg16"))
        self.assertFalse(uses_bottlenecks(architecture="vgg16", fine_tune_layers=1))
        flip = Augmentation(flip_left_right=True)
        self.assertFalse(uses_bottlenecks(architecture="vgg16", augmentation=flip))
        self.assertFalse(uses_bottlenecks(architecture="cnn_chollet"))


if __name__ == "__main__":
    absltest.main()
