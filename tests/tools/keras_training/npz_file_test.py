"""Arrays in an `.npz` file become examples, or one line says why not."""

import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.errors import UserError
from tests.support import drawn_shapes
from tools.keras_training import npz_file
from tools.keras_training.image_shape import ImageShape


class NpzFileTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = drawn_shapes.write_npz(self.folder / "shapes.npz", train=60, test=20)

    def change(self, **arrays: np.ndarray | None) -> None:
        """Replaces arrays in the file. None removes an array."""
        with np.load(self.file) as file:
            content = {**file, **arrays}
        np.savez(self.file, **{name: array for name, array in content.items() if array is not None})

    def assert_refused(self, *parts: str) -> None:
        with self.assertRaises(UserError) as raised:
            npz_file.read(self.file)
        for part in (f"--train_dir={self.file}", *parts):
            self.assertIn(part, str(raised.exception))
        self.assertNotIn("\n", str(raised.exception))

    def test_images_and_labels_are_those_of_the_file(self):
        class_numbers = np.array([3, 7] * 30)
        self.change(y_train=class_numbers, y_test=class_numbers[:20])
        arrays = npz_file.read(self.file)
        self.assertTrue(npz_file.is_grey(arrays))
        self.assertEqual(npz_file.count_classes(arrays), 2)
        data = npz_file.load(arrays, ImageShape(28, 28, 1))
        self.assertEqual(data.labels, ("3", "7"))
        np.testing.assert_array_equal(data.train.class_ids, [0, 1] * 30)
        np.testing.assert_array_equal(data.train.inputs[..., 0], drawn_shapes.draw(60, seed=0)[0])

    def test_the_same_image_in_both_splits_or_in_two_classes_is_reported(self):
        noise = np.random.default_rng(0).integers(0, 256, (6, 8, 8), np.uint8)
        class_numbers = np.array([0, 1, 0, 1])
        images = {"y_train": class_numbers, "y_test": class_numbers[:2]}
        self.change(x_train=noise[:4], x_test=noise[4:], **images)
        with self.assertNoLogs():
            npz_file.load(npz_file.read(self.file), ImageShape(8, 8, 1))
        self.change(x_train=noise[[0, 0, 2, 3]], x_test=noise[[2, 5]], **images)
        with self.assertLogs() as logs:
            npz_file.load(npz_file.read(self.file), ImageShape(8, 8, 1))
        self.assertEqual(
            [record.getMessage() for record in logs.records],
            [
                "The same image is in two classes: x_train[0] = x_train[1]. One of them is wrong.",
                "The same image is in two splits, so the measured accuracy is too high: "
                "x_train[2] = x_test[0].",
            ],
        )

    def replace_entry(self, name: str, content: bytes) -> None:
        """Replaces the content of an array in the file."""
        with zipfile.ZipFile(self.file) as source:
            entries = {entry: source.read(entry) for entry in source.namelist()}
        with zipfile.ZipFile(self.file, "w", zipfile.ZIP_DEFLATED) as target:
            for entry, old in entries.items():
                target.writestr(entry, content if entry == name else old)

    @parameterized.parameters(
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '|u1', 'fortran_order': True, 'shape': (1000000, 1000000, 3)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (10,)}",
        "{'descr': [('a', '<i8', (1000000, 1000000))], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (10, True)}",
        "(" * 500,
    )
    def test_a_head_that_does_not_state_what_follows_is_refused(self, head: str):
        size = len(head).to_bytes(2, "little")
        content = b"\x93NUMPY\x01\x00" + size + head.encode() + bytes(1000)
        self.replace_entry("x_train.npy", content)
        self.assert_refused("is not a file of arrays")

    def test_a_head_of_many_bytes_is_refused(self):
        self.replace_entry("x_train.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(1000))
        self.assert_refused("is not a file of arrays")

    def test_an_array_cannot_unpack_to_many_times_the_size_of_the_file(self):
        self.change(x_train=np.zeros((8_000, 90, 90), np.uint8), y_train=np.arange(8_000) % 2)
        with np.load(self.file) as file:
            np.savez_compressed(self.file, **file)
        self.assert_refused("unpack to more than the 50,000,000 bytes")

    def test_images_with_three_channels_are_not_grey(self):
        with np.load(self.file) as file:
            rgb = {name: np.stack([file[name]] * 3, axis=-1) for name in ("x_train", "x_test")}
        self.change(**rgb)
        self.assertFalse(npz_file.is_grey(npz_file.read(self.file)))

    def test_images_are_fitted_to_another_aspect_ratio(self):
        arrays = npz_file.read(self.file)
        data = npz_file.load(arrays, ImageShape(28, 56, 1), fit="pad")
        np.testing.assert_array_equal(data.train.inputs[:, :, 14:42, 0], arrays["x_train"])
        self.assertEqual(data.train.inputs[:, :, :14].max(), 0)

    def test_images_are_converted_to_another_size_and_rgb(self):
        data = npz_file.load(npz_file.read(self.file), ImageShape(14, 20, 3))
        self.assertEqual(data.train.inputs.shape, (60, 14, 20, 3))
        image = Image.fromarray(drawn_shapes.draw(60, seed=0)[0][0])
        expected = np.asarray(image.resize((20, 14), Image.Resampling.BILINEAR)).astype(int)
        self.assertLess(np.abs(data.train.inputs[0, ..., 1] - expected).max(), 3)

    @parameterized.parameters(
        (dict(x_test=None), "x_test"),
        (dict(x_train=np.zeros((60, 28), np.uint8)), "x_train is uint8 [60, 28]"),
        (dict(x_train=np.zeros((60, 28, 28), np.float32)), "x_train is float32"),
        (dict(y_train=np.zeros(59, int)), "y_train is int64 [59]"),
        (dict(y_train=np.zeros((60, 10))), "y_train is float64"),
        (dict(y_train=np.zeros(60, int)), "only one class"),
        (dict(y_test=np.arange(20)), "same classes"),
        (dict(y_train=np.array([None] * 60)), "not a file of arrays"),
    )
    def test_unsuitable_arrays_are_refused(self, changes, part):
        self.change(**changes)
        self.assert_refused(part)

    @parameterized.parameters(b"", b"PK\3\4 and nothing else", b"text")
    def test_damaged_files_are_refused(self, content):
        self.file.write_bytes(content)
        self.assert_refused()

    def test_a_file_with_damaged_compressed_arrays_is_refused(self):
        with np.load(self.file) as file:
            np.savez_compressed(self.file, **file)
        content = bytearray(self.file.read_bytes())
        # The data follow a header of 30 bytes, the name and 20 bytes for sizes of large files.
        start = 30 + len("x_train.npy") + 20
        content[start : start + 20] = b"\xff" * 20
        self.file.write_bytes(content)
        self.assert_refused("not a file of arrays")

    def test_a_file_with_a_single_array_is_refused(self):
        with self.file.open("wb") as file:
            np.save(file, np.zeros(3))
        self.assert_refused("not a file of arrays")


if __name__ == "__main__":
    absltest.main()
