"""Folders and files of arrays become the examples that are in them, or one line says why not."""

import contextlib
import logging
import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.errors import UserError
from tests.support import drawn_shapes
from tools.keras_training import arrays, examples, image_folders
from tools.keras_training.examples import Examples
from tools.keras_training.image_folders import Shape


class _Test(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    @contextlib.contextmanager
    def assert_refused(self, *parts: str):
        with self.assertRaises(UserError) as raised:
            yield
        for part in parts:
            self.assertIn(part, str(raised.exception))
        self.assertNotIn("\n", str(raised.exception))


class FoldersTest(_Test):
    def setUp(self):
        super().setUp()
        self.train = drawn_shapes.write_folders(self.folder / "train", 30, seed=0)
        self.val = drawn_shapes.write_folders(self.folder / "val", 12, seed=1)

    def test_pixels_and_classes_are_those_of_the_files(self):
        found = image_folders.find(self.train, self.val)
        data = image_folders.load(found, Shape(28, 28, 1))
        self.assertEqual(data.labels, drawn_shapes.SHAPES)
        self.assertLen(data.validation.inputs, 12)
        drawn, class_ids = drawn_shapes.draw(30, seed=0)
        order = np.argsort(class_ids, kind="stable")
        np.testing.assert_array_equal(data.train.class_ids, class_ids[order])
        np.testing.assert_array_equal(data.train.inputs[..., 0], drawn[order])

    def test_colours_become_the_grey_of_pillow(self):
        colours = np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)
        file = self.train / "bar" / "0.png"
        Image.fromarray(colours).save(file)
        data = image_folders.load(image_folders.find(self.train, self.val), Shape(28, 28, 1))
        grey = np.asarray(Image.open(file).convert("L"))
        np.testing.assert_array_equal(data.train.inputs[0, ..., 0], grey)

    def test_what_is_shown_is_of_all_classes(self):
        found = image_folders.find(self.train, self.val)
        paths = [image.path for image in found.images[image_folders.TRAIN]]
        class_ids = np.array([image.class_id for image in found.images[image_folders.TRAIN]])
        shown = image_folders.show(paths, class_ids, Shape(20, 24, 3))
        self.assertEqual(shown.inputs.shape, (30, 20, 24, 3))
        for path in paths[:-2]:
            path.write_bytes(b"no image any more")
        self.assertLen(image_folders.show(paths, class_ids, Shape(20, 24, 3)).class_ids, 2)
        self.assertEqual(set(shown.class_ids.tolist()), {0, 1, 2})

    def test_unreadable_images_are_named_and_left_out(self):
        (self.train / "bar" / "broken.png").write_bytes(b"no image")
        with self.assertLogs(level=logging.WARNING) as logs:
            data = image_folders.load(image_folders.find(self.train, self.val), Shape(28, 28, 1))
        self.assertIn("broken.png", logs.output[0])
        self.assertLen(data.train.inputs, 30)
        self.assertLen(data.train.class_ids, 30)

    def test_no_image_of_a_class_is_readable(self):
        for file in (self.val / "ring").iterdir():
            file.write_bytes(b"")
        with self.assert_refused("ring", "--val_dir"):
            image_folders.load(image_folders.find(self.train, self.val), Shape(28, 28, 1))

    def test_a_class_more_in_either(self):
        shutil.copytree(self.train / "bar", self.train / "more")
        with self.assert_refused("--val_dir", "no images of more", "--train_dir"):
            image_folders.find(self.train, self.val)
        shutil.move(self.train / "more", self.val / "more")
        with self.assert_refused("--train_dir", "no images of more", "--val_dir"):
            image_folders.find(self.train, self.val)

    def test_what_is_ignored_is_said_as_retrain_does(self):
        (self.train / "loose.png").touch()
        with self.assertLogs() as logs:
            image_folders.find(self.train, self.val)
        one = "WARNING:root:Ignored 1 image that lies outside the folders of the classes."
        self.assertEqual(logs.output, [one])
        (self.val / "bar" / "notes.txt").touch()
        with self.assertLogs() as logs:
            image_folders.find(self.train, self.val)
        file = "INFO:root:Ignored 1 file that is not an image: 1 .txt."
        self.assertEqual(logs.output, [file, one])

    def test_names_are_those_below_the_folders(self):
        names = image_folders.find(self.train, self.val).names
        for part in (self.train, self.val):
            part.rename(part.with_name(f"moved_{part.name}"))
        moved = [self.folder / "moved_train", self.folder / "moved_val"]
        self.assertEqual(image_folders.find(*moved).names, names)
        file = min((moved[1] / "bar").iterdir())
        file.rename(file.with_name("another.png"))
        self.assertNotEqual(image_folders.find(*moved).names, names)

    def test_loose_images_only(self):
        with self.assert_refused("--train_dir", "sub-folder", "lie directly"):
            image_folders.find(self.train / "bar", self.val)

    def test_pixels_beyond_the_memory_go_to_a_file(self):
        found = image_folders.find(self.train, self.val)
        in_memory = image_folders.load(found, Shape(28, 28, 3))
        self.enter_context(absltest.mock.patch.object(examples, "_BYTES_IN_MEMORY", 1000))
        in_file = image_folders.load(found, Shape(28, 28, 3))
        self.assertIsInstance(in_file.train.inputs, np.memmap)
        np.testing.assert_array_equal(in_file.train.inputs, in_memory.train.inputs)
        self.assertEqual(in_file.fingerprint(), in_memory.fingerprint())


class ArraysTest(_Test):
    def setUp(self):
        super().setUp()
        self.file = drawn_shapes.write_arrays(self.folder / "shapes.npz", 60, 20)

    def change(self, **arrays_: np.ndarray) -> Path:
        with np.load(self.file) as file:
            content = dict(file)
        content.update(arrays_)
        np.savez(self.file, **{name: array for name, array in content.items() if array is not None})
        return self.file

    def test_images_and_labels_are_those_of_the_file(self):
        numbers = np.array([3, 7] * 30)
        self.change(y_train=numbers, y_test=numbers[:20])
        content = arrays.read(self.file)
        self.assertTrue(arrays.is_grey(content))
        data = arrays.load(content, Shape(28, 28, 1))
        self.assertEqual(data.labels, ("3", "7"))
        np.testing.assert_array_equal(data.train.class_ids, [0, 1] * 30)
        np.testing.assert_array_equal(data.train.inputs[..., 0], drawn_shapes.draw(60, seed=0)[0])

    def test_another_size_and_colours(self):
        data = arrays.load(arrays.read(self.file), Shape(14, 20, 3))
        self.assertEqual(data.train.inputs.shape, (60, 14, 20, 3))
        image = Image.fromarray(drawn_shapes.draw(60, seed=0)[0][0])
        same = np.asarray(image.resize((20, 14), Image.Resampling.BILINEAR)).astype(int)
        self.assertLess(np.abs(data.train.inputs[0, ..., 1] - same).max(), 3)

    @parameterized.parameters(
        (dict(x_test=None), "x_test"),
        (dict(x_train=np.zeros((60, 28), np.uint8)), "x_train is uint8 [60, 28]"),
        (dict(x_train=np.zeros((60, 28, 28), np.float32)), "x_train is float32"),
        (dict(y_train=np.zeros(59, int)), "y_train is int64 [59]"),
        (dict(y_train=np.zeros((60, 10))), "y_train is float64"),
        (dict(y_train=np.zeros(60, int)), "one class only"),
        (dict(y_test=np.arange(20)), "same classes"),
        (dict(y_train=np.array([None] * 60)), "not a file of arrays"),
    )
    def test_wrong_arrays(self, changes, part):
        self.change(**changes)
        with self.assert_refused(f"--train_dir={self.file}", part):
            arrays.read(self.file)

    @parameterized.parameters(b"", b"PK\3\4 and nothing else", b"text")
    def test_damaged_files(self, content):
        self.file.write_bytes(content)
        with self.assert_refused(f"--train_dir={self.file}"):
            arrays.read(self.file)


class ExamplesTest(absltest.TestCase):
    def test_a_sample_has_as_many_of_each_class(self):
        class_ids = np.array([0] * 50 + [1] * 3 + [2] * 50)
        sample = Examples(np.arange(103), class_ids).sample(13)
        self.assertEqual(np.bincount(sample.class_ids).tolist(), [5, 3, 5])
        np.testing.assert_array_equal(class_ids[sample.inputs], sample.class_ids)
        self.assertLen(Examples(np.arange(103), class_ids).sample(200).inputs, 103)


if __name__ == "__main__":
    absltest.main()
