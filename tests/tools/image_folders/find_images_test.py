"""Images are found by their file names, and skipped files are reported."""

import os
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.errors import UserError
from tools.image_folders.find_images import Skipped, SkippedFiles, find_images, iter_images


class FindImagesTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def touch(self, *names: str) -> None:
        for name in names:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).touch()

    def find(self, recursive=True, exclude="none"):
        skipped = SkippedFiles()
        images = iter_images(
            self.folder, recursive=recursive, exclude=self.folder / exclude, skipped=skipped
        )
        return list(images), skipped

    def test_images_are_sorted_and_other_files_are_counted(self):
        self.touch("b.jpg", "a.PNG", "c.webp", "d.txt", "e", "y/2.gif", "y/1.jpeg", "x/z/1.bmp")
        images, skipped = self.find()
        self.assertEqual(images, ["a.PNG", "b.jpg", "c.webp", "x/z/1.bmp", "y/1.jpeg", "y/2.gif"])
        self.assertEqual(skipped.other_suffixes, {".txt": 1, "without an extension": 1})
        self.assertEqual(self.find(recursive=False)[0], ["a.PNG", "b.jpg", "c.webp"])

    def test_unusual_names_are_found(self):
        names = [
            "-rf.jpg",
            "new\nline.jpg",
            "ünï.jpg",
            os.fsdecode(b"\xff.jpg"),
            "x" * 250 + ".jpg",
        ]
        self.touch(*names)
        self.assertCountEqual(self.find()[0], names)

    def test_the_first_hidden_files_are_listed_and_the_others_counted(self):
        self.touch(*(f".{number}.jpg" for number in range(7)), ".hidden/a.jpg", "in/.b.jpg")
        images, skipped = self.find()
        self.assertEmpty(images)
        self.assertEqual(skipped.names[Skipped.HIDDEN].count, 9)
        self.assertEqual(
            skipped.describe(Skipped.HIDDEN),
            "skipped hidden files and folders: .0.jpg, .1.jpg, .2.jpg, .3.jpg, .4.jpg and 4 more",
        )

    def test_links_to_files_are_followed_and_links_to_folders_are_not(self):
        self.touch("in/a.jpg")
        (self.folder / "in/around").symlink_to(self.folder)
        (self.folder / "b.jpg").symlink_to("in/a.jpg")
        images, skipped = self.find()
        self.assertEqual(images, ["b.jpg", "in/a.jpg"])
        self.assertEqual(skipped.names[Skipped.FOLDER_LINK].first, ["in/around"])

    def test_pipes_sockets_devices_and_broken_links_are_named(self):
        self.touch("a.jpg")
        os.mkfifo(self.folder / "pipe.jpg")
        (self.folder / "circle.jpg").symlink_to("circle.jpg")
        (self.folder / "device.png").symlink_to("/dev/null")
        (self.folder / "gone.gif").symlink_to("nowhere")
        images, skipped = self.find()
        self.assertEqual(images, ["a.jpg"])
        self.assertEqual(
            skipped.names[Skipped.SPECIAL].first,
            [
                "circle.jpg (broken link)",
                "device.png (device)",
                "gone.gif (broken link)",
                "pipe.jpg (pipe)",
            ],
        )

    def test_images_with_other_names_are_named(self):
        self.touch("a.jfif", "b.txt")
        for name in ("c", "d.jpg_large"):
            (self.folder / name).write_bytes(b"\x89PNG\r\n\x1a\n")
        images, skipped = self.find()
        self.assertEqual(images, ["a.jfif"])
        self.assertEqual(skipped.names[Skipped.MISNAMED].first, ["c", "d.jpg_large"])
        self.assertEqual(skipped.other_suffixes, {".txt": 1})
        (self.folder / "a.jfif").unlink()
        with self.assertRaisesRegex(UserError, "2 files look like images .*, such as c, d.jpg_la"):
            find_images(self.folder, recursive=True, exclude=self.folder / "out")

    def test_folders_of_systems_are_not_searched(self):
        self.touch("a.jpg", "@eaDir/a.jpg/x.jpg", "in/.Trash-0/b.jpg", "in/thumbs/c.jpg")
        images, skipped = self.find()
        self.assertEqual(images, ["a.jpg"])
        self.assertCountEqual(
            skipped.names[Skipped.SYSTEM_FOLDER].first, ["@eaDir", "in/.Trash-0", "in/thumbs"]
        )
        self.assertNotIn(Skipped.HIDDEN, skipped.names)
        self.assertEmpty(self.find(recursive=False)[1].names)

    def test_the_excluded_folder_is_not_searched(self):
        self.touch("a.jpg", "out/b.jpg", "in/c.jpg")
        self.assertEqual(self.find(exclude="out")[0], ["a.jpg", "in/c.jpg"])

    def test_a_missing_folder_is_refused(self):
        with self.assertRaisesRegex(UserError, "none cannot be read: No such file"):
            find_images(self.folder / "none", recursive=False, exclude=self.folder)

    def test_a_folder_without_images_is_refused(self):
        self.touch("a.txt", "b.txt", "in/c.jpg")
        with self.assertRaisesRegex(UserError, "no images .*, only 2 .txt; .* add --recursive to"):
            find_images(self.folder, recursive=False, exclude=self.folder / "out")

    def test_skipped_files_are_logged_after_the_last_image(self):
        self.touch("a.jpg", "b.txt", ".c")
        images = find_images(self.folder, recursive=True, exclude=self.folder / "out")
        with self.assertLogs(level="INFO") as logs:
            self.assertEqual(list(images), ["a.jpg"])
        self.assertEqual(
            [record.getMessage() for record in logs.records],
            ["Skipped files that are not images: 1 .txt", "Skipped hidden files and folders: .c"],
        )


if __name__ == "__main__":
    absltest.main()
