"""Images are found by their names, and what is left out is named."""

import os
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.errors import UserError
from tools.guess.find_images import LeftOut, find


class FindTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def touch(self, *names: str) -> None:
        for name in names:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).touch()

    def find(self, recursive=True, passed_over="none"):
        left_out = LeftOut()
        found = list(find(self.folder, recursive, self.folder / passed_over, left_out))
        return found, left_out

    def test_order_and_kinds(self):
        self.touch("b.jpg", "a.PNG", "c.webp", "d.txt", "e", "y/2.gif", "y/1.jpeg", "x/z/1.bmp")
        found, left_out = self.find()
        self.assertEqual(found, ["a.PNG", "b.jpg", "c.webp", "x/z/1.bmp", "y/1.jpeg", "y/2.gif"])
        self.assertEqual(left_out.others, {".txt": 1, "without an extension": 1})
        self.assertEqual(self.find(recursive=False)[0], ["a.PNG", "b.jpg", "c.webp"])

    def test_odd_names(self):
        names = [
            "-rf.jpg",
            "new\nline.jpg",
            "ünï.jpg",
            os.fsdecode(b"\xff.jpg"),
            "x" * 250 + ".jpg",
        ]
        self.touch(*names)
        self.assertCountEqual(self.find()[0], names)

    def test_hidden_ones_are_named_up_to_a_number(self):
        self.touch(*(f".{number}.jpg" for number in range(7)), ".hidden/a.jpg", "in/.b.jpg")
        found, left_out = self.find()
        self.assertEmpty(found)
        self.assertEqual(left_out.hidden.count, 9)
        self.assertEqual(str(left_out.hidden), ".0.jpg, .1.jpg, .2.jpg, .3.jpg, .4.jpg and 4 more")

    def test_links_to_folders_are_not_followed_those_to_files_are(self):
        self.touch("in/a.jpg")
        (self.folder / "in/around").symlink_to(self.folder)
        (self.folder / "b.jpg").symlink_to("in/a.jpg")
        (self.folder / "c.jpg").symlink_to("c.jpg")
        found, left_out = self.find()
        self.assertEqual(found, ["b.jpg", "c.jpg", "in/a.jpg"])
        self.assertEqual(left_out.folder_links.first, ["in/around"])

    def test_the_other_folder_is_passed_over(self):
        self.touch("a.jpg", "out/b.jpg", "in/c.jpg")
        self.assertEqual(self.find(passed_over="out")[0], ["a.jpg", "in/c.jpg"])

    def test_a_missing_folder(self):
        with self.assertRaisesRegex(UserError, "none cannot be read: No such file"):
            list(find(self.folder / "none", False, self.folder, LeftOut()))


if __name__ == "__main__":
    absltest.main()
