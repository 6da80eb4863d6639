"""Folders of images become the examples in them, or one line says why not."""

import contextlib
import hashlib
import logging
import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.data import pixels
from retrain.data.splits import TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.metadata import FITS
from tests.support import drawn_shapes
from tools.keras_training import examples, image_folders
from tools.keras_training.image_shape import ImageShape

_GREY = ImageShape(28, 28, 1)


class ImageFoldersTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.train = drawn_shapes.write_folders(self.folder / "train", 30, seed=0)
        self.val = drawn_shapes.write_folders(self.folder / "val", 12, seed=1)

    @contextlib.contextmanager
    def assert_refused(self, *parts: str):
        with self.assertRaises(UserError) as raised:
            yield
        for part in parts:
            self.assertIn(part, str(raised.exception))
        self.assertNotIn("\n", str(raised.exception))

    def load(self, shape: ImageShape = _GREY):
        return image_folders.load(image_folders.scan(self.train, self.val), shape)

    def test_pixels_and_classes_are_those_of_the_files(self):
        data = self.load()
        self.assertEqual(data.labels, drawn_shapes.SHAPES)
        self.assertLen(data.validation.inputs, 12)
        drawn, class_ids = drawn_shapes.draw(30, seed=0)
        order = np.argsort(class_ids, kind="stable")
        np.testing.assert_array_equal(data.train.class_ids, class_ids[order])
        np.testing.assert_array_equal(data.train.inputs[..., 0], drawn[order])

    def test_each_folder_is_a_split(self):
        dataset = image_folders.scan(self.train, self.val).dataset
        for root, split, count in ((self.train, TRAINING, 30), (self.val, VALIDATION, 12)):
            paths = {image.path for image in dataset.split(split)}
            self.assertEqual(paths, set(root.glob("*/*")))
            self.assertLen(paths, count)
        # A training image that cannot be read does not move others to the validation split.
        reduced = dataset.without({dataset.split(TRAINING)[0].path})
        self.assertEqual(reduced.split(TRAINING), dataset.split(TRAINING)[1:])
        self.assertEqual(reduced.split(VALIDATION), dataset.split(VALIDATION))

    def test_colours_become_the_grey_of_pillow(self):
        colours = np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)
        file = self.train / "bar" / "0.png"
        Image.fromarray(colours).save(file)
        grey = np.asarray(Image.open(file).convert("L"))
        np.testing.assert_array_equal(self.load().train.inputs[0, ..., 0], grey)

    def test_preview_has_readable_images_of_all_classes(self):
        images = image_folders.scan(self.train, self.val).dataset.split(TRAINING)
        preview = image_folders.decode_preview(images, ImageShape(20, 24, 3))
        self.assertEqual(preview.inputs.shape, (30, 20, 24, 3))
        self.assertEqual(set(preview.class_ids.tolist()), {0, 1, 2})
        for image in images[:-2]:
            image.path.write_bytes(b"no image any more")
        preview = image_folders.decode_preview(images, ImageShape(20, 24, 3))
        self.assertEqual(preview.class_ids.tolist(), [2, 2])
        self.assertLen(preview.inputs, 2)

    @parameterized.parameters(*FITS)
    def test_images_of_another_aspect_ratio_are_fitted(self, fit):
        file = self.train / "bar" / "0.png"
        colours = np.random.default_rng(0).integers(0, 256, (20, 50, 3), np.uint8)
        Image.fromarray(colours).save(file)
        folders = image_folders.scan(self.train, self.val)
        data = image_folders.load(folders, ImageShape(28, 28, 3), fit=fit)
        expected = pixels.decode(file.read_bytes(), 28, 28, fit=fit)
        np.testing.assert_array_equal(data.train.inputs[0], expected)
        preview = image_folders.decode_preview(
            folders.dataset.images[:1], ImageShape(28, 28, 3), fit=fit
        )
        np.testing.assert_array_equal(preview.inputs[0], expected)

    def test_unreadable_images_are_named_and_left_out(self):
        (self.train / "bar" / "broken.png").write_bytes(b"no image")
        with self.assertLogs(level=logging.WARNING) as logs:
            data = self.load()
        self.assertIn("broken.png", logs.output[0])
        self.assertLen(data.train.inputs, 30)
        self.assertLen(data.train.class_ids, 30)

    def test_the_same_image_in_both_folders_or_in_two_classes_is_reported(self):
        bar = min((self.train / "bar").iterdir())
        ring = self.train / "ring" / "copy.png"
        ring.write_bytes(bar.read_bytes())
        with self.assertLogs(level=logging.WARNING) as logs:
            self.load()
        self.assertEqual(
            [record.getMessage() for record in logs.records],
            [f"The same image is in two classes: {bar} = {ring}. One of them is wrong."],
        )
        ring.unlink()
        copy = self.val / "bar" / "copy.png"
        copy.write_bytes(bar.read_bytes())
        with self.assertLogs(level=logging.WARNING) as logs:
            self.load()
        self.assertEqual(
            [record.getMessage() for record in logs.records],
            [
                "The same image is in two splits, so the measured accuracy is too high: "
                f"{bar} = {copy}."
            ],
        )

    def test_images_with_other_names_and_folders_of_systems_are_named(self):
        for root in (self.train, self.val):
            shutil.rmtree(root / "bar")
            (root / "ring").rename(root / "thumbs")
        (self.train / "other").mkdir()
        shutil.copyfile(next(self.train.glob("*/*.png")), self.train / "other" / "image")
        with self.assert_refused("1 file looks like an image but", "other/image", "ers: thumbs"):
            image_folders.scan(self.train, self.val)

    def test_class_without_readable_images_is_refused(self):
        for file in (self.val / "ring").iterdir():
            file.write_bytes(b"")
        with self.assert_refused("ring", "--val_dir"):
            self.load()

    def test_class_in_only_one_folder_is_refused(self):
        shutil.copytree(self.train / "bar", self.train / "more")
        with self.assert_refused("--val_dir", "no images of more", "--train_dir"):
            image_folders.scan(self.train, self.val)
        shutil.move(self.train / "more", self.val / "more")
        with self.assert_refused("--train_dir", "no images of more", "--val_dir"):
            image_folders.scan(self.train, self.val)

    def test_ignored_files_are_reported(self):
        (self.train / "loose.png").touch()
        loose = "WARNING:root:Ignored 1 image that is not in the folder of a class."
        with self.assertLogs() as logs:
            image_folders.scan(self.train, self.val)
        self.assertEqual(logs.output, [loose])
        (self.val / "bar" / "notes.txt").touch()
        with self.assertLogs() as logs:
            image_folders.scan(self.train, self.val)
        file = "INFO:root:Ignored 1 file that is not an image: 1 .txt."
        self.assertEqual(logs.output, [file, loose])

    def test_names_digest_depends_on_the_names_below_the_folders(self):
        digest = image_folders.scan(self.train, self.val).names_digest
        train = self.train.rename(self.folder / "moved_train")
        val = self.val.rename(self.folder / "moved_val")
        self.assertEqual(image_folders.scan(train, val).names_digest, digest)
        file = min((val / "bar").iterdir())
        file.rename(file.with_name("another.png"))
        self.assertNotEqual(image_folders.scan(train, val).names_digest, digest)

    def test_names_digest_is_that_of_earlier_versions(self):
        for root in (self.train, self.val):
            shutil.rmtree(root)
            for name in ("a", "b"):
                (root / name).mkdir(parents=True)
                (root / name / "1.png").touch()
        digest = image_folders.scan(self.train, self.val).names_digest
        text = "[{'a': ['1.png'], 'b': ['1.png']}, {'a': ['1.png'], 'b': ['1.png']}]"
        self.assertEqual(digest, hashlib.sha256(text.encode()).hexdigest())

    def test_large_arrays_have_the_same_examples(self):
        in_memory = self.load()
        self.enter_context(absltest.mock.patch.object(examples, "_MAX_BYTES_IN_MEMORY", 1000))
        in_file = self.load()
        self.assertIsInstance(in_file.train.inputs, np.memmap)
        np.testing.assert_array_equal(in_file.train.inputs, in_memory.train.inputs)
        self.assertEqual(in_file.fingerprint(), in_memory.fingerprint())

    def test_folder_with_only_loose_images_is_refused(self):
        with self.assert_refused("--train_dir", "sub-folder", "are directly in it"):
            image_folders.scan(self.train / "bar", self.val)


if __name__ == "__main__":
    absltest.main()
