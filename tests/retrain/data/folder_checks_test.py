"""Tests that unusable folders are refused, and that unused files are reported."""

import logging
import os
from pathlib import Path

from absl.testing import absltest

from retrain.data import folder_checks
from retrain.data.folders import list_images
from retrain.data.listing import Listing
from retrain.errors import UserError


class FolderChecksTestCase(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.root = Path(self.create_tempdir().full_path)

    def make(self, *files: str) -> None:
        for file in files:
            path = self.root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def fill(self, folder: str, count: int) -> None:
        self.make(*(f"{folder}/{number}.jpg" for number in range(count)))

    def write_images(self, *files: str) -> None:
        self.make(*files)
        for file in files:
            (self.root / file).write_bytes(b"\xff\xd8\xff\xe0")

    def list_root(self) -> Listing:
        return list_images({"image_dir": self.root})["image_dir"]


class CheckClassesTest(FolderChecksTestCase):
    def assert_refused(self, message: str) -> None:
        with self.assertRaises(UserError) as caught:
            folder_checks.check_classes(self.root, self.list_root())
        self.assertIn(message, str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))

    def test_accepts_two_classes_of_three_images(self):
        self.fill("a", 3)
        self.fill("b", 3)
        folder_checks.check_classes(self.root, self.list_root())

    def test_empty_folder(self):
        self.assert_refused(
            f"--image_dir={self.root} has no sub-folder with images (jpg, jpeg, jpe, jif, jfif, "
            "pjp, pjpeg, mpo, png, apng, bmp, dib, gif, webp, heic, heics, heif, heifs, hif, avif, "
            "avifs); each class needs a sub-folder with its images"
        )

    def test_folder_with_other_files_only(self):
        self.make("a/1.jxl", "a/2.jxl")
        self.assert_refused(
            "avif, avifs), only 2 .jxl; each class needs a sub-folder with its images"
        )

    def test_images_with_other_names_only(self):
        self.write_images("a/1", "a/2.jpg_large", "b/3.part")
        message = (
            "; 3 files look like images but have other names, such as a/1, a/2.jpg_large, b/3.part;"
            " rename them with an extension such as .jpg"
        )
        self.assert_refused(message)
        self.fill("c", 3)
        self.assert_refused(message)
        self.fill("b", 1)
        self.assert_refused(message)

    def test_only_folder_has_the_name_of_a_system_folder(self):
        for name in ("Thumbs", "lost+found"):
            self.fill(name, 3)
        message = "own folders: Thumbs, lost+found; rename a folder if it is a class"
        self.assert_refused(message)
        self.fill("cat", 3)
        self.assert_refused(message)

    def test_broken_links_only(self):
        self.make("a/x.txt")
        (self.root / "a" / "1.jpg").symlink_to("gone.jpg")
        self.assert_refused("; not used, because files are expected: a/1.jpg (broken link)")

    def test_images_without_folders(self):
        self.fill(".", 4)
        self.assert_refused("each class needs a sub-folder with its images (4 images are directly")

    def test_one_class(self):
        self.fill("cat", 30)
        (self.root / "dog").mkdir()
        self.fill(".", 3)
        self.assert_refused(
            f"--image_dir={self.root} has only one class with images, cat, but needs at "
            "least two; each class needs a sub-folder with its images (3 images are directly"
        )

    def test_parent_of_the_image_folder(self):
        self.fill("flowers/roses", 30)
        self.fill("flowers/daisies", 30)
        self.assert_refused(f"use --image_dir={self.root}/flowers")

    def test_folder_that_is_already_split(self):
        self.fill("train/roses", 30)
        self.fill("train/daisies", 30)
        self.fill("Test/roses", 30)
        self.assert_refused("is already split into Test, train; use the training folder as")

    def test_too_few_images(self):
        self.fill("a", 3)
        self.fill("b", 2)
        self.fill("c", 1)
        self.assert_refused(
            f"--image_dir={self.root} has fewer than 3 images in: b (2), c (1); add images to"
        )


class CheckSplitFolderTest(FolderChecksTestCase):
    def check(self, *classes: str) -> None:
        folder_checks.check_split_folder(
            "test_dir", Path("/test"), self.list_root(), classes=classes
        )

    def test_accepts_some_of_the_classes(self):
        self.fill("a", 1)
        self.check("a", "b")

    def test_refuses_another_class(self):
        self.fill("a", 1)
        self.fill("z", 1)
        with self.assertRaisesRegex(UserError, "--test_dir=/test has .* not have: z; .*: a, b$"):
            self.check("a", "b")

    def test_refuses_a_folder_without_images(self):
        with self.assertRaisesRegex(UserError, "--test_dir=/test has no images .*: a, b; add"):
            self.check("a", "b")


class MessagesTest(FolderChecksTestCase):
    def reported(self) -> list[str]:
        with self.assertLogs() as logs:
            folder_checks.report_ignored([self.list_root()])
        return [record.getMessage() for record in logs.records]

    def test_nothing_to_report(self):
        self.fill("a", 20)
        with self.assertNoLogs():
            folder_checks.report_ignored([self.list_root()])
            folder_checks.warn_of_small_classes(self.list_root())

    def test_counts_ignored_files_in_one_line(self):
        self.make("x.TXT", "a/y.txt", "b/1.jpg", "a/1.jpg", "b/Thumbs.db", "b/.DS_Store")
        self.assertEqual(
            self.reported(), ["Ignored 4 files that are not images: 2 .txt, 1 .db, 1 hidden."]
        )

    def test_uses_the_singular_for_one_file(self):
        self.make("x.txt")
        self.assertEqual(self.reported(), ["Ignored 1 file that is not an image: 1 .txt."])

    def test_warns_of_unsupported_formats(self):
        self.make("a/1.JXL", "a/2.jxl", "a/3.tiff", "a/1.jpg")
        (message,) = self.reported()
        self.assertIn("cannot read: 2 .jxl, 1 .tiff. Convert them", message)

    def test_warns_of_images_with_other_names(self):
        self.write_images("a/1")
        self.assertEqual(
            self.reported(),
            [
                "1 file looks like an image but has another name, a/1; rename it with an "
                "extension such as .jpg.",
                "Ignored folders without images: a.",
            ],
        )
        self.write_images("a/2", "a/3", "a/4")
        self.assertIn(
            "4 files look like images but have other names, such as a/1, a/2, a/3 and 1 more; "
            "rename them with an extension such as .jpg.",
            self.reported(),
        )

    def test_names_pipes_and_broken_links(self):
        self.fill("a", 1)
        os.mkfifo(self.root / "a" / "2.jpg")
        (self.root / "3.jpg").symlink_to("nowhere")
        self.assertEqual(
            self.reported(),
            [
                "Ignored pipes, sockets, devices and broken links: 3.jpg (broken link), "
                "a/2.jpg (pipe)."
            ],
        )

    def test_counts_folders_of_systems_once(self):
        for number in range(6):
            self.fill(f"a/{number}", 1)
            self.fill(f"a/{number}/@eaDir", 2)
        (message,) = self.reported()
        self.assertStartsWith(
            message, "Ignored 6 folders of NAS devices or operating systems: a/0/@eaDir, "
        )
        self.assertEndsWith(message, " and 1 more.")

    def test_a_folder_of_a_system_that_could_be_a_class_is_named(self):
        self.fill("a/@eaDir", 2)
        self.fill("a", 1)
        self.fill("Thumbs", 2)
        with self.assertLogs(level=logging.WARNING) as logs:
            folder_checks.report_ignored([self.list_root()])
        self.assertEqual(
            [record.getMessage() for record in logs.records],
            [
                "Ignored 2 folders of NAS devices or operating systems: Thumbs, a/@eaDir. Rename "
                "a folder if it is a class: Thumbs."
            ],
        )

    def test_names_folders_without_images(self):
        (self.root / "c").mkdir()
        self.assertEqual(self.reported(), ["Ignored folders without images: c."])

    def test_counts_images_outside_the_classes(self):
        self.make("1.jpg", "2.jpg")
        self.assertEqual(
            self.reported(), ["Ignored 2 images that are not in the folder of a class."]
        )
        (self.root / "2.jpg").unlink()
        self.assertEqual(self.reported(), ["Ignored 1 image that is not in the folder of a class."])

    def test_warns_of_links_to_images_that_are_used_already(self):
        self.fill("a", 1)
        (self.root / "c").symlink_to(self.root / "a")
        self.assertEqual(self.reported(), ["Ignored links to images that are used already: c."])

    def test_adds_up_several_folders(self):
        self.make("x.txt")
        with self.assertLogs() as logs:
            folder_checks.report_ignored([self.list_root(), self.list_root()])
        self.assertEqual(
            logs.records[0].getMessage(), "Ignored 2 files that are not images: 2 .txt."
        )

    def test_warns_of_small_classes(self):
        self.fill("a", 20)
        self.fill("c", 19)
        for number in range(6):
            self.fill(f"d{number}", 4)
        with self.assertLogs(level=logging.WARNING) as logs:
            folder_checks.warn_of_small_classes(self.list_root())
        self.assertEqual(
            [record.getMessage() for record in logs.records],
            [
                "Classes with fewer than 20 images limit the accuracy: "
                "c (19), d0 (4), d1 (4), d2 (4), d3 (4) and 2 more."
            ],
        )


if __name__ == "__main__":
    absltest.main()
