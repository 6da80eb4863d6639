"""Tests that folders are read into a data set, or refused with a helpful message."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from retrain.config import SplitOptions
from retrain.data.dataset import Dataset, scan_dataset
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.errors import UserError


class ImageFoldersTestCase(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.root = self.folder / "photos"
        self.root.mkdir()

    def make(self, *files: str) -> None:
        for file in files:
            path = self.folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def fill(self, folder: str, count: int) -> None:
        self.make(*(f"{folder}/{number}.jpg" for number in range(count)))

    def scan(self, root: Path | None = None, **changes: Any) -> Dataset:
        defaults = {
            "validation_percentage": 10,
            "testing_percentage": 10,
            "split_by": "name",
            "typed_image_dir": "photos",
            "validation_dir": None,
            "test_dir": None,
        }
        with self.assertLogs(level=logging.DEBUG) as logs:
            logging.debug("assertLogs fails if there is no message.")
            dataset = scan_dataset(root or self.root, SplitOptions(**{**defaults, **changes}))
        self.messages = [record.getMessage() for record in logs.records[1:]]
        return dataset

    def split_of_each_file(self, dataset: Dataset) -> dict[str, str]:
        return {
            image.path.relative_to(self.folder).as_posix(): image.split for image in dataset.images
        }

    def assert_user_error(self, message: str, **changes: Any) -> None:
        with self.assertRaises(UserError) as caught:
            self.scan(**changes)
        self.assertIn(message, str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))


class ScanTest(ImageFoldersTestCase):
    def test_finds_labels_and_images(self):
        self.fill("photos/Red-Roses", 30)
        self.fill("photos/Daisies", 25)
        self.make("photos/Daisies/more/1.PNG")
        dataset = self.scan()
        self.assertEqual(dataset.image_dir, self.root)
        self.assertEqual(dataset.labels, ("daisies", "red roses"))
        self.assertEqual(dataset.folders, ("Daisies", "Red-Roses"))
        self.assertEqual(Counter(p.class_id for p in dataset.images), {0: 26, 1: 30})
        for image in dataset.images:
            self.assertTrue(image.path.is_file())
            self.assertEqual(
                image.path.relative_to(self.root).parts[0], dataset.folders[image.class_id]
            )
        self.assertEqual(self.messages, [])

    def test_each_image_is_in_one_split(self):
        self.fill("photos/a", 200)
        self.fill("photos/b", 200)
        dataset = self.scan(validation_percentage=20, testing_percentage=30)
        counts = [len(dataset.split(split)) for split in (TRAINING, VALIDATION, TEST)]
        self.assertEqual(sum(counts), 400)
        self.assertBetween(counts[1], 50, 110)
        self.assertBetween(counts[2], 80, 160)
        self.assertLen(
            {
                image.path
                for split in (TRAINING, VALIDATION, TEST)
                for image in dataset.split(split)
            },
            400,
        )

    def test_two_scans_return_the_same(self):
        self.fill("photos/a", 40)
        self.fill("photos/b", 40)
        self.assertEqual(self.scan(), self.scan())

    def test_moving_the_folder_or_adding_images_moves_no_image(self):
        self.fill("photos/a", 60)
        self.fill("photos/b", 60)
        before = self.split_of_each_file(self.scan())
        self.root.rename(self.folder / "moved")
        self.fill("moved/a", 90)
        self.fill("moved/c", 5)
        after = self.split_of_each_file(self.scan(self.folder / "moved"))
        self.assertLen(after, 155)
        for file, split in before.items():
            self.assertEqual(after[file.replace("photos", "moved")], split)

    def test_split_by_path_depends_on_the_folder_as_typed(self):
        self.fill("photos/a", 60)
        self.fill("photos/b", 60)
        here = self.split_of_each_file(self.scan(split_by="path"))
        there = self.split_of_each_file(self.scan(split_by="path", typed_image_dir="./photos"))
        self.assertNotEqual(here, there)
        self.assertEqual(here, self.split_of_each_file(self.scan(split_by="path")))

    def test_every_class_is_in_all_splits_even_if_it_is_small(self):
        for number in range(40):
            self.fill(f"photos/{number}", 3)
        dataset = self.scan()
        for class_id in range(40):
            names = {image.split for image in dataset.images if image.class_id == class_id}
            self.assertEqual(names, {TRAINING, VALIDATION, TEST})

    def test_a_split_of_zero_percent_is_empty(self):
        self.fill("photos/a", 3)
        self.fill("photos/b", 30)
        self.assertEmpty(self.scan(testing_percentage=0).split(TEST))

    def test_images_of_one_object_are_in_one_split(self):
        for folder in "ab":
            self.make(*(f"photos/{folder}/{n}_nohash_{m}.jpg" for n in range(30) for m in range(4)))
        splits_by_object: dict[str, set[str]] = {}
        for file, split in self.split_of_each_file(self.scan()).items():
            splits_by_object.setdefault(file.partition("_nohash_")[0], set()).add(split)
        self.assertLen(splits_by_object, 60)
        self.assertEqual({len(names) for names in splits_by_object.values()}, {1})


class SplitFoldersTest(ImageFoldersTestCase):
    def setUp(self):
        super().setUp()
        self.fill("photos/a", 40)
        self.fill("photos/b", 40)
        self.fill("val/a", 2)
        self.fill("val/b/deep", 1)
        self.fill("test/a", 1)
        self.fill("test/b", 5)

    def count_by_folder(self, dataset: Dataset, split: str) -> Counter[str]:
        return Counter(
            f"{p.path.relative_to(self.folder).parts[0]}/{dataset.folders[p.class_id]}"
            for p in dataset.split(split)
        )

    def test_a_split_has_the_images_of_its_folder(self):
        dataset = self.scan(validation_dir=self.folder / "val", test_dir=self.folder / "test")
        self.assertEqual(self.count_by_folder(dataset, TRAINING), {"photos/a": 40, "photos/b": 40})
        self.assertEqual(self.count_by_folder(dataset, VALIDATION), {"val/a": 2, "val/b": 1})
        self.assertEqual(self.count_by_folder(dataset, TEST), {"test/a": 1, "test/b": 5})

    def test_the_other_split_is_taken_from_the_image_folder(self):
        dataset = self.scan(test_dir=self.folder / "test")
        self.assertEqual(self.count_by_folder(dataset, TEST), {"test/a": 1, "test/b": 5})
        self.assertEqual(set(self.count_by_folder(dataset, VALIDATION)), {"photos/a", "photos/b"})
        self.assertLen(dataset.images, 86)

    def test_warns_if_a_split_lacks_a_class(self):
        self.fill("photos/c", 20)
        (self.folder / "val" / "c").mkdir()
        self.scan(validation_dir=self.folder / "val")
        self.assertIn("The validation split has no images of: c.", self.messages)

    def test_refuses_an_unknown_class(self):
        self.fill("test/z", 1)
        self.assert_user_error(
            f"--test_dir={self.folder}/test has classes that --image_dir does not have: z; "
            "use the folder names of --image_dir: a, b",
            test_dir=self.folder / "test",
        )

    def test_refuses_a_folder_without_images(self):
        (self.folder / "empty").mkdir()
        self.assert_user_error(
            f"--validation_dir={self.folder}/empty has no images in sub-folders",
            validation_dir=self.folder / "empty",
        )

    def test_refuses_a_missing_folder(self):
        self.assert_user_error("--test_dir=/no/such cannot be read", test_dir=Path("/no/such"))


class WithoutTest(ImageFoldersTestCase):
    def test_equals_a_scan_without_the_files(self):
        self.fill("photos/a", 5)
        self.fill("photos/b", 30)
        self.fill("photos/c", 4)
        dataset = self.scan()
        removed = [p.path for p in dataset.images if p.path.name in ("0.jpg", "7.jpg")]
        remaining = dataset.without(removed)
        for path in removed:
            path.unlink()
        self.assertEqual(remaining, self.scan())
        self.assertLen(remaining.images, 39 - 4)

    def test_fills_a_split_that_became_empty(self):
        self.fill("photos/a", 9)
        self.fill("photos/b", 9)
        dataset = self.scan()
        for split in (TRAINING, VALIDATION, TEST):
            in_a = [p.path for p in dataset.split(split) if p.class_id == 0]
            remaining = dataset.without(in_a if split != TRAINING else in_a[:-1])
            self.assertEqual(
                {p.split for p in remaining.images if p.class_id == 0}, {TRAINING, VALIDATION, TEST}
            )

    def test_without_no_files_is_the_same(self):
        self.fill("photos/a", 4)
        self.fill("photos/b", 30)
        dataset = self.scan()
        self.assertEqual(dataset.without([]), dataset)

    def test_refuses_to_leave_a_class_too_small(self):
        self.fill("photos/a", 5)
        self.fill("photos/b", 5)
        dataset = self.scan()
        removed = [p.path for p in dataset.images if p.class_id == 0][:3]
        message = f"--image_dir={self.root} has fewer than 3 readable images in: a (2 of 5, 3 unr"
        with self.assertRaises(UserError) as caught:
            dataset.without(removed)
        self.assertIn(message, str(caught.exception))
        self.assertLen(dataset.without(removed[:2]).images, 8)

    def test_warns_only_if_a_split_folder_loses_a_class(self):
        for folder in ("photos/a", "photos/b", "photos/c"):
            self.fill(folder, 20)
        self.fill("test/a", 2)
        self.fill("test/b", 1)
        dataset = self.scan(test_dir=self.folder / "test")
        with self.assertNoLogs():
            dataset.without([self.folder / "test/a/1.jpg", self.root / "a/1.jpg"])
        with self.assertLogs() as logs:
            remaining = dataset.without([self.folder / "test/b/0.jpg"])
        self.assertEqual(
            [record.getMessage() for record in logs.records],
            ["The test split has no images of: b."],
        )
        self.assertLen(remaining.split(TEST), 2)


class MessagesTest(ImageFoldersTestCase):
    def test_ignored_files_and_small_classes_are_logged(self):
        self.fill("photos/a", 20)
        self.fill("photos/b", 19)
        self.make("photos/a/notes.txt")
        (self.root / "c").mkdir()
        dataset = self.scan()
        self.assertEqual(
            self.messages,
            [
                "Ignored 1 file that is not an image: 1 .txt.",
                "Ignored folders without images: c.",
                "Classes with fewer than 20 images limit the accuracy: b (19).",
            ],
        )
        self.assertEqual(dataset.labels, ("a", "b"))

    def test_a_linked_class_is_not_scanned_twice(self):
        self.fill("photos/a", 20)
        self.fill("photos/b", 20)
        (self.root / "c").symlink_to(self.root / "a")
        dataset = self.scan()
        self.assertEqual(self.messages, ["Ignored links to images that are used already: c."])
        self.assertEqual(dataset.labels, ("a", "b"))

    def test_ignored_files_are_logged_before_a_folder_is_refused(self):
        self.make("photos/a/1.jxl")
        with self.assertLogs() as logs, self.assertRaises(UserError):
            scan_dataset(self.root, SplitOptions())
        self.assertIn("1 .jxl", logs.output[0])


class RefusalTest(parameterized.TestCase, ImageFoldersTestCase):
    def test_folder_without_classes(self):
        self.fill("photos", 4)
        self.assert_user_error(f"--image_dir={self.root} has no sub-folder with images (jpg, ")

    def test_missing_folder(self):
        self.assert_user_error("--image_dir=/no/such cannot be read", root=Path("/no/such"))

    def test_file_instead_of_a_folder(self):
        self.make("file.zip")
        self.assert_user_error("file.zip is a file; use a folder", root=self.folder / "file.zip")

    @parameterized.parameters(
        ({"validation_percentage": -1}, "--validation_percentage=-1 must be from 0 to 100"),
        ({"testing_percentage": 101}, "--testing_percentage=101 must be from 0 to 100"),
        ({"testing_percentage": 90}, "leave no images for training"),
    )
    def test_invalid_percentages(self, changes, message):
        self.assert_user_error(message, **changes)


if __name__ == "__main__":
    absltest.main()
