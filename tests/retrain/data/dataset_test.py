"""Folders become a data set that can be learned from, or a line that says what to change."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from retrain.config import SplitOptions
from retrain.data.dataset import Dataset, scan_dataset
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.errors import UserError


class ImagesTestCase(absltest.TestCase):
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
        usual = {
            "validation_percentage": 10,
            "testing_percentage": 10,
            "split_by": "name",
            "typed_image_dir": "photos",
            "validation_dir": None,
            "test_dir": None,
        }
        with self.assertLogs(level=logging.DEBUG) as logs:
            logging.debug("So that there is one line at least.")
            dataset = scan_dataset(root or self.root, SplitOptions(**{**usual, **changes}))
        self.messages = [record.getMessage() for record in logs.records[1:]]
        return dataset

    def parts(self, dataset: Dataset) -> dict[str, str]:
        return {
            image.path.relative_to(self.folder).as_posix(): image.split for image in dataset.images
        }

    def assert_user_error(self, message: str, **changes: Any) -> None:
        with self.assertRaises(UserError) as caught:
            self.scan(**changes)
        self.assertIn(message, str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))


class ScanTest(ImagesTestCase):
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

    def test_each_image_is_in_one_part(self):
        self.fill("photos/a", 200)
        self.fill("photos/b", 200)
        dataset = self.scan(validation_percentage=20, testing_percentage=30)
        counts = [len(dataset.split(part)) for part in (TRAINING, VALIDATION, TEST)]
        self.assertEqual(sum(counts), 400)
        self.assertBetween(counts[1], 50, 110)
        self.assertBetween(counts[2], 80, 160)
        self.assertLen(
            {p.path for part in (TRAINING, VALIDATION, TEST) for p in dataset.split(part)}, 400
        )

    def test_gives_the_same_each_time(self):
        self.fill("photos/a", 40)
        self.fill("photos/b", 40)
        self.assertEqual(self.scan(), self.scan())

    def test_moving_the_folder_or_adding_images_moves_no_image(self):
        self.fill("photos/a", 60)
        self.fill("photos/b", 60)
        before = self.parts(self.scan())
        self.root.rename(self.folder / "moved")
        self.fill("moved/a", 90)
        self.fill("moved/c", 5)
        after = self.parts(self.scan(self.folder / "moved"))
        self.assertLen(after, 155)
        for file, part in before.items():
            self.assertEqual(after[file.replace("photos", "moved")], part)

    def test_by_path_another_folder_gives_another_split(self):
        self.fill("photos/a", 60)
        self.fill("photos/b", 60)
        here = self.parts(self.scan(split_by="path"))
        there = self.parts(self.scan(split_by="path", typed_image_dir="./photos"))
        self.assertNotEqual(here, there)
        self.assertEqual(here, self.parts(self.scan(split_by="path")))

    def test_every_class_has_all_parts_even_a_small_one(self):
        for number in range(40):
            self.fill(f"photos/{number}", 3)
        dataset = self.scan()
        for class_id in range(40):
            parts = {p.split for p in dataset.images if p.class_id == class_id}
            self.assertEqual(parts, {TRAINING, VALIDATION, TEST})

    def test_a_part_with_no_percentage_stays_empty(self):
        self.fill("photos/a", 3)
        self.fill("photos/b", 30)
        self.assertEmpty(self.scan(testing_percentage=0).split(TEST))

    def test_images_of_one_thing_stay_together(self):
        for class_id in "ab":
            self.make(
                *(f"photos/{class_id}/{n}_nohash_{m}.jpg" for n in range(30) for m in range(4))
            )
        of_thing: dict[str, set[str]] = {}
        for file, part in self.parts(self.scan()).items():
            of_thing.setdefault(file.partition("_nohash_")[0], set()).add(part)
        self.assertLen(of_thing, 60)
        self.assertEqual({len(parts) for parts in of_thing.values()}, {1})


class GivenPartsTest(ImagesTestCase):
    def setUp(self):
        super().setUp()
        self.fill("photos/a", 40)
        self.fill("photos/b", 40)
        self.fill("val/a", 2)
        self.fill("val/b/deep", 1)
        self.fill("test/a", 1)
        self.fill("test/b", 5)

    def of(self, dataset: Dataset, part: str) -> Counter[str]:
        return Counter(
            f"{p.path.relative_to(self.folder).parts[0]}/{dataset.folders[p.class_id]}"
            for p in dataset.split(part)
        )

    def test_their_images_are_the_part(self):
        dataset = self.scan(validation_dir=self.folder / "val", test_dir=self.folder / "test")
        self.assertEqual(self.of(dataset, TRAINING), {"photos/a": 40, "photos/b": 40})
        self.assertEqual(self.of(dataset, VALIDATION), {"val/a": 2, "val/b": 1})
        self.assertEqual(self.of(dataset, TEST), {"test/a": 1, "test/b": 5})

    def test_the_other_part_is_still_split_off(self):
        dataset = self.scan(test_dir=self.folder / "test")
        self.assertEqual(self.of(dataset, TEST), {"test/a": 1, "test/b": 5})
        self.assertEqual(set(self.of(dataset, VALIDATION)), {"photos/a", "photos/b"})
        self.assertLen(dataset.images, 86)

    def test_warns_of_a_missing_class(self):
        self.fill("photos/c", 20)
        (self.folder / "val" / "c").mkdir()
        self.scan(validation_dir=self.folder / "val")
        self.assertIn("The validation part has no images of: c.", self.messages)

    def test_refuses_an_unknown_class(self):
        self.fill("test/z", 1)
        self.assert_user_error(
            f"--test_dir={self.folder}/test has classes that --image_dir has not: z; "
            "name its folders as those of --image_dir: a, b",
            test_dir=self.folder / "test",
        )

    def test_refuses_one_without_images(self):
        (self.folder / "empty").mkdir()
        self.assert_user_error(
            f"--validation_dir={self.folder}/empty has no images in sub-folders",
            validation_dir=self.folder / "empty",
        )

    def test_refuses_a_missing_one(self):
        self.assert_user_error("--test_dir=/no/such cannot be read", test_dir=Path("/no/such"))


class WithoutTest(ImagesTestCase):
    def test_is_as_if_the_files_had_never_been(self):
        self.fill("photos/a", 5)
        self.fill("photos/b", 30)
        self.fill("photos/c", 4)
        dataset = self.scan()
        lost = [p.path for p in dataset.images if p.path.name in ("0.jpg", "7.jpg")]
        rest = dataset.without(lost)
        for path in lost:
            path.unlink()
        self.assertEqual(rest, self.scan())
        self.assertLen(rest.images, 39 - 4)

    def test_fills_a_part_that_was_lost(self):
        self.fill("photos/a", 9)
        self.fill("photos/b", 9)
        dataset = self.scan()
        for part in (TRAINING, VALIDATION, TEST):
            in_a = [p.path for p in dataset.split(part) if p.class_id == 0]
            rest = dataset.without(in_a if part != TRAINING else in_a[:-1])
            self.assertEqual(
                {p.split for p in rest.images if p.class_id == 0}, {TRAINING, VALIDATION, TEST}
            )

    def test_without_nothing_is_the_same(self):
        self.fill("photos/a", 4)
        self.fill("photos/b", 30)
        dataset = self.scan()
        self.assertEqual(dataset.without([]), dataset)

    def test_refuses_what_leaves_a_class_too_small(self):
        self.fill("photos/a", 5)
        self.fill("photos/b", 5)
        dataset = self.scan()
        lost = [p.path for p in dataset.images if p.class_id == 0][:3]
        message = f"--image_dir={self.root} has fewer than 3 readable images in: a (2 of 5, 3 unr"
        with self.assertRaises(UserError) as caught:
            dataset.without(lost)
        self.assertIn(message, str(caught.exception))
        self.assertLen(dataset.without(lost[:2]).images, 8)

    def test_warns_where_a_given_part_loses_a_class_and_only_then(self):
        for folder in ("photos/a", "photos/b", "photos/c"):
            self.fill(folder, 20)
        self.fill("test/a", 2)
        self.fill("test/b", 1)
        dataset = self.scan(test_dir=self.folder / "test")
        with self.assertNoLogs():
            dataset.without([self.folder / "test/a/1.jpg", self.root / "a/1.jpg"])
        with self.assertLogs() as logs:
            rest = dataset.without([self.folder / "test/b/0.jpg"])
        self.assertEqual(
            [record.getMessage() for record in logs.records],
            ["The test part has no images of: b."],
        )
        self.assertLen(rest.split(TEST), 2)


class MessagesTest(ImagesTestCase):
    def setUp(self):
        super().setUp()
        self.fill("photos/a", 20)
        self.fill("photos/b", 20)

    def test_counts_what_is_ignored_in_one_line(self):
        self.make("photos/x.TXT", "photos/a/y.txt", "photos/b/Thumbs.db", "photos/b/.DS_Store")
        self.scan()
        self.assertEqual(
            self.messages, ["Ignored 4 files that are not images: 2 .txt, 1 .db, 1 hidden."]
        )

    def test_names_one_file_in_the_singular(self):
        self.make("photos/x.txt")
        self.scan()
        self.assertEqual(self.messages, ["Ignored 1 file that is not an image: 1 .txt."])

    def test_says_which_images_cannot_be_read(self):
        self.make("photos/a/1.JXL", "photos/a/2.jxl", "photos/b/3.tiff")
        self.scan()
        self.assertLen(self.messages, 1)
        self.assertIn("cannot read: 2 .jxl, 1 .tiff. Convert them", self.messages[0])

    def test_names_folders_without_images(self):
        (self.root / "c").mkdir()
        dataset = self.scan()
        self.assertEqual(self.messages, ["Ignored folders without images: c."])
        self.assertEqual(dataset.labels, ("a", "b"))

    def test_counts_images_outside_the_classes(self):
        self.fill("photos", 2)
        self.assertLen(self.scan().images, 40)
        self.assertEqual(
            self.messages, ["Ignored 2 images that lie outside the folders of the classes."]
        )

    def test_names_small_classes(self):
        self.fill("photos/c", 19)
        for number in range(6):
            self.fill(f"photos/d{number}", 4)
        self.scan()
        self.assertEqual(
            self.messages,
            [
                "Fewer than 20 images, which is little to learn from: "
                "c (19), d0 (4), d1 (4), d2 (4), d3 (4) and 2 more."
            ],
        )

    def test_names_what_links_lead_to_again(self):
        (self.root / "c").symlink_to(self.root / "a")
        dataset = self.scan()
        self.assertEqual(self.messages, ["Used once what is found again through links: c."])
        self.assertEqual(dataset.labels, ("a", "b"))


class UserErrorTest(parameterized.TestCase, ImagesTestCase):
    def test_nothing_there(self):
        self.assert_user_error(
            f"--image_dir={self.root} has no sub-folder with images (jpg, jpeg, png, bmp, gif, "
            "webp, heic, heif, avif); each class needs a sub-folder of its own"
        )

    def test_says_what_there_is_instead(self):
        self.make("photos/a/1.jxl", "photos/a/2.jxl")
        self.assert_user_error(
            "has no sub-folder with images (jpg, jpeg, png, bmp, gif, webp, heic, heif, avif), "
            "only 2 .jxl; each"
        )

    def test_images_without_folders(self):
        self.fill("photos", 4)
        self.assert_user_error("needs a sub-folder of its own with its images in it (4 images")

    def test_missing(self):
        self.assert_user_error("--image_dir=/no/such cannot be read", root=Path("/no/such"))

    def test_file(self):
        self.make("file.zip")
        self.assert_user_error("file.zip is a file; give a folder", root=self.folder / "file.zip")

    def test_one_class(self):
        self.fill("photos/cat", 30)
        (self.root / "dog").mkdir()
        self.fill("photos", 3)
        self.assert_user_error(
            f"--image_dir={self.root} has only one class with images, cat, and two are the "
            "least; each class needs a sub-folder of its own with its images in it (3 images"
        )

    def test_folder_above_the_right_one(self):
        self.fill("photos/flowers/roses", 30)
        self.fill("photos/flowers/daisies", 30)
        self.assert_user_error(f"use --image_dir={self.root}/flowers")

    def test_folder_that_is_split_already(self):
        self.fill("photos/train/roses", 30)
        self.fill("photos/train/daisies", 30)
        self.fill("photos/Test/roses", 30)
        self.assert_user_error("is split already into Test, train; give the folder of the training")

    def test_too_few_images(self):
        self.fill("photos/a", 3)
        self.fill("photos/b", 2)
        self.fill("photos/c", 1)
        self.assert_user_error(
            f"--image_dir={self.root} has fewer than 3 images in: b (2), c (1); add images"
        )

    @parameterized.parameters(
        ({"validation_percentage": -1}, "--validation_percentage must be from 0 to 100, not -1"),
        ({"testing_percentage": 101}, "--testing_percentage must be from 0 to 100, not 101"),
        ({"testing_percentage": 90}, "leave no images to train on"),
    )
    def test_impossible_percentages(self, changes, message):
        self.assert_user_error(message, **changes)


if __name__ == "__main__":
    absltest.main()
