"""All images are found, once, where they are; everything else is counted."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.data import folders
from retrain.errors import UserError


class FoldersTest(absltest.TestCase):
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

    def link(self, link: str, target: str) -> None:
        path = self.folder / link
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(self.folder / target)

    def listing(self) -> folders.Listing:
        return folders.list_images({"image_dir": self.root})["image_dir"]

    def test_finds_all_kinds_in_any_case(self):
        names = [
            f"1.{end}"
            for end in ("jpg", "JPG", "jpeg", "Png", "bmp", "GIF", "webp", "HEIC", "avif")
        ]
        self.make(*(f"photos/cat/{name}" for name in names))
        self.assertEqual(self.listing().images, {"cat": sorted(names)})

    def test_sorts_classes_and_images(self):
        self.make("photos/b/2.jpg", "photos/b/1.jpg", "photos/a/z/1.jpg", "photos/a/x.jpg")
        self.assertEqual(
            list(self.listing().images.items()),
            [("a", ["x.jpg", "z/1.jpg"]), ("b", ["1.jpg", "2.jpg"])],
        )

    def test_includes_sub_folders_of_a_class(self):
        self.make("photos/cat/1.jpg", "photos/cat/old/2.jpg", "photos/cat/old/x.jpg/3.jpg")
        self.assertEqual(self.listing().images, {"cat": ["1.jpg", "old/2.jpg", "old/x.jpg/3.jpg"]})

    def test_counts_what_is_no_image(self):
        self.make(
            "photos/LICENSE",
            "photos/cat/.DS_Store",
            "photos/cat/._1.jpg",
            "photos/cat/1.jpg",
            "photos/cat/Thumbs.db",
            "photos/cat/a/a.TXT",
            "photos/.git/1.jpg",
            "photos/cat/.hidden/1.jpg",
            "photos/jpg",
        )
        self.link("photos/cat/2.jpg", "missing.jpg")
        self.link("photos/cat/3.jpg", "photos/cat/3.jpg")
        os.mkfifo(self.root / "cat" / "4.jpg")
        listing = self.listing()
        self.assertEqual(listing.images, {"cat": ["1.jpg"]})
        self.assertEqual(
            listing.ignored,
            {
                "hidden": 2,
                "hidden folder": 2,
                "without an extension": 2,
                ".db": 1,
                ".txt": 1,
                "broken link or device": 3,
            },
        )
        self.assertEqual((listing.loose, listing.empty, listing.again), (0, [], []))

    def test_names_folders_without_images(self):
        self.make("photos/cat/1.jpg", "photos/notes/a.txt")
        (self.root / "dog" / "old").mkdir(parents=True)
        self.assertEqual(self.listing().empty, ["dog", "notes"])

    def test_counts_images_outside_the_classes(self):
        self.make("photos/1.jpg", "photos/2.PNG", "photos/cat/1.jpg")
        self.assertEqual(self.listing().loose, 2)

    def test_follows_links_to_files_and_folders_elsewhere(self):
        self.make("store/a.jpg", "store/dogs/b.jpg", "photos/cat/1.jpg")
        self.link("photos/cat/2.jpg", "store/a.jpg")
        self.link("photos/dog", "store/dogs")
        self.assertEqual(self.listing().images, {"cat": ["1.jpg", "2.jpg"], "dog": ["b.jpg"]})

    def test_root_may_be_a_link(self):
        self.make("photos/cat/1.jpg")
        self.link("link", "photos")
        listing = folders.list_images({"image_dir": self.folder / "link"})["image_dir"]
        self.assertEqual(listing.images, {"cat": ["1.jpg"]})

    def test_circles_of_links_end(self):
        self.make("photos/a/1.jpg", "photos/b/2.jpg")
        self.link("photos/a/up", "photos")
        self.link("photos/a/self", "photos/a")
        self.link("photos/b/other", "photos/a")
        self.link("photos/a/other", "photos/b")
        listing = self.listing()
        self.assertEqual(listing.images, {"a": ["1.jpg"], "b": ["2.jpg"]})
        self.assertEqual(listing.again, ["a/other", "a/self", "b/other"])

    def test_a_link_takes_nothing_from_the_class_where_the_images_are(self):
        self.make("photos/dog/puppies/1.jpg", "photos/dog/2.jpg", "photos/cat/3.jpg")
        self.link("photos/cat/a", "photos/dog/puppies")
        self.link("photos/cat/b.jpg", "photos/dog/2.jpg")
        self.link("photos/ape", "photos/dog")
        listing = self.listing()
        self.assertEqual(listing.images, {"cat": ["3.jpg"], "dog": ["2.jpg", "puppies/1.jpg"]})
        self.assertEqual(listing.again, ["ape", "cat/a", "cat/b.jpg"])
        self.assertEqual(listing.empty, [])

    def test_several_links_to_one_file_count_once(self):
        self.make("store/1.jpg", "store/2")
        for category, number in (("a", 1), ("b", 2)):
            self.link(f"photos/{category}/x{number}.jpg", "store/1.jpg")
            self.link(f"photos/{category}/y.jpg", "store/2")
        listing = self.listing()
        self.assertEqual(listing.images, {"a": ["x1.jpg", "y.jpg"]})
        self.assertEqual(listing.again, ["b/x2.jpg", "b/y.jpg"])

    def test_hard_links_are_images_like_others(self):
        self.make("photos/a/1.jpg", "photos/b/2.jpg")
        (self.root / "a" / "3.jpg").hardlink_to(self.root / "b" / "2.jpg")
        self.assertEqual(self.listing().images, {"a": ["1.jpg", "3.jpg"], "b": ["2.jpg"]})

    def test_an_image_belongs_to_the_later_root_that_leads_to_it(self):
        self.make("photos/a/1.jpg", "photos/a/2.jpg", "photos/a/old/3.jpg", "test/a/4.jpg")
        self.link("test/a/2.jpg", "photos/a/2.jpg")
        self.link("test/a/x", "photos/a/old")
        listings = folders.list_images({"image_dir": self.root, "test_dir": self.folder / "test"})
        self.assertEqual(list(listings), ["image_dir", "test_dir"])
        self.assertEqual(listings["image_dir"].images, {"a": ["1.jpg"]})
        self.assertEqual(listings["test_dir"].images, {"a": ["2.jpg", "4.jpg", "x/3.jpg"]})

    def test_a_root_within_a_root_is_no_class(self):
        self.make("photos/a/1.jpg", "photos/test/a/2.jpg")
        roots = {"image_dir": self.root, "test_dir": self.root / "test"}
        listing = folders.list_images(roots)["image_dir"]
        self.assertEqual(listing.images, {"a": ["1.jpg"]})
        self.assertEqual(listing.again, [])

    def test_names_that_are_no_valid_text(self):
        self.make("photos/a\udcff/1\udcfe.jpg", "photos/b\n/\t.jpg")
        self.assertEqual(self.listing().images, {"a\udcff": ["1\udcfe.jpg"], "b\n": ["\t.jpg"]})


class BadRootTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        # Not in the test's own folder: it can lie where nobody else may look at all.
        self.folder = Path(tempfile.mkdtemp(dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)

    def test_missing(self):
        root = self.folder / "no"
        with self.assertRaisesRegex(
            UserError, f"--image_dir={root} cannot be read: No such file or directory; give a"
        ):
            folders.list_images({"image_dir": root})

    def test_file(self):
        root = self.folder / "file"
        root.touch()
        with self.assertRaisesRegex(UserError, f"--test_dir={root} is a file; give a folder"):
            folders.list_images({"image_dir": self.folder, "test_dir": root})

    def test_the_same_twice(self):
        link = self.folder / "link"
        link.symlink_to(self.folder)
        with self.assertRaisesRegex(UserError, f"--test_dir={link} is the same .* as --image_dir;"):
            folders.list_images({"image_dir": self.folder, "test_dir": link})

    def assert_unreadable(self, locked: Path) -> None:
        program = """
import os, pathlib, sys
from retrain import errors, folders
from tests import privileges
privileges.drop()
try:
    folders.list_pictures({"image_dir": pathlib.Path(sys.argv[1])})
except errors.UserError as error:
    print(error)
"""
        locked.mkdir(parents=True, exist_ok=True)
        locked.chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", program, self.folder],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
        )
        locked.chmod(0o755)
        self.assertIn(
            f"--image_dir={self.folder} cannot be read: {locked}: Permission denied; make",
            done.stdout,
            done.stderr,
        )

    def test_unreadable(self):
        self.assert_unreadable(self.folder)

    def test_unreadable_folder_within(self):
        self.assert_unreadable(self.folder / "cat")
        self.assert_unreadable(self.folder / "dog" / "old")


if __name__ == "__main__":
    absltest.main()
