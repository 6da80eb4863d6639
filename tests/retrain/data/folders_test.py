"""Tests that each image is listed once, in the folder that contains it."""

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from absl.testing import absltest

from retrain.data import folders
from retrain.data.listing import Listing
from retrain.errors import UserError
from tests.support.python_code import run_python

# The first bytes of images, and suffixes that do not belong to images.
_STARTS = (
    (b"\xff\xd8\xff\xe0", ".jpg_large"),
    (b"\xff\xd8\xff\xe1", ""),
    (b"\xff\xd8\xff\xee", ".txt"),
    (b"\x89PNG\r\n\x1a\n", ".PNG~"),
    (b"GIF87a", ".part"),
    (b"GIF89a", ".image"),
    (b"RIFF\0\0\0\0WEBP", ".php"),
    (b"\0\0\0\x1cftypavif", ".dat"),
    (b"\0\0\0\x1cftypheic", ".tif"),
    (b"\0\0\0\x1cftypmif1", ".bin"),
    (b"BM" + bytes(12) + b"\x28\0\0\0", ".tmp"),
)


@contextlib.contextmanager
def _opened_paths() -> Iterator[list[str]]:
    """Collects the paths of files that are opened."""
    paths: list[str] = []
    original = os.open

    def collect(path, *arguments, **options):
        paths.append(path)
        return original(path, *arguments, **options)

    with mock.patch.object(os, "open", collect):
        yield paths


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

    def list_root(self) -> Listing:
        return folders.list_images({"image_dir": self.root})["image_dir"]

    def test_lists_all_formats_in_upper_and_lower_case(self):
        extensions = (
            "jpg JPG jpeg jpe JFIF pjpeg pjp jif mpo Png apng bmp dib GIF webp HEIC heics heif hif "
            "avif avifs"
        )
        names = [f"1.{extension}" for extension in extensions.split()]
        self.make(*(f"photos/cat/{name}" for name in names))
        self.assertEqual(self.list_root().images, {"cat": sorted(names)})

    def test_sorts_classes_and_images(self):
        self.make("photos/b/2.jpg", "photos/b/1.jpg", "photos/a/z/1.jpg", "photos/a/x.jpg")
        self.assertEqual(
            list(self.list_root().images.items()),
            [("a", ["x.jpg", "z/1.jpg"]), ("b", ["1.jpg", "2.jpg"])],
        )

    def test_lists_nested_folders_of_a_class(self):
        self.make("photos/cat/1.jpg", "photos/cat/old/2.jpg", "photos/cat/old/x.jpg/3.jpg")
        self.assertEqual(
            self.list_root().images, {"cat": ["1.jpg", "old/2.jpg", "old/x.jpg/3.jpg"]}
        )

    def test_counts_files_that_are_not_images(self):
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
        self.link("photos/cat/2", "missing")
        os.mkfifo(self.root / "cat" / "3.pipe")
        listing = self.list_root()
        self.assertEqual(listing.images, {"cat": ["1.jpg"]})
        self.assertEqual(
            listing.ignored,
            {
                "hidden": 2,
                "hidden folder": 2,
                "without an extension": 2,
                ".db": 1,
                ".txt": 1,
                "broken link or device": 2,
            },
        )
        self.assertEqual(listing.outside_classes, 0)
        self.assertEqual((listing.empty_folders, listing.duplicate_links), ([], []))

    def test_pipes_sockets_devices_and_broken_links_are_named_and_never_opened(self):
        self.make("photos/cat/1.jpg", "photos/cat/old/2.jpg")
        self.link("photos/cat/gone.JPG", "missing.jpg")
        self.link("photos/cat/circle.png", "photos/cat/circle.png")
        os.mkfifo(self.root / "cat" / "old" / "pipe.jfif")
        os.mkfifo(self.root / "outside.jpg")
        self.link("photos/cat/linked.jpg", "photos/outside.jpg")
        with socket.socket(socket.AF_UNIX) as unix, contextlib.chdir(self.root / "cat"):
            unix.bind("socket.webp")
        (self.root / "cat" / "null.gif").symlink_to("/dev/null")
        with _opened_paths() as opened:
            listing = self.list_root()
        self.assertEqual(listing.images, {"cat": ["1.jpg", "old/2.jpg"]})
        self.assertEqual(
            listing.special_files,
            [
                "cat/circle.png (broken link)",
                "cat/gone.JPG (broken link)",
                "cat/linked.jpg (pipe)",
                "cat/null.gif (device)",
                "cat/old/pipe.jfif (pipe)",
                "cat/socket.webp (socket)",
                "outside.jpg (pipe)",
            ],
        )
        self.assertEmpty(opened)
        self.assertEmpty(listing.ignored)

    def test_files_that_start_like_images_but_have_other_names_are_counted_as_such(self):
        for number, (start, format_) in enumerate(_STARTS):
            file = self.root / "cat" / f"{number}{format_}"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(start + bytes(40))
        others = ("BMX is a sport", "RIFF....WAVE", "....ftypisom", "GIF", "", "text")
        for number, text in enumerate(others):
            (self.root / "cat" / f"other{number}").write_text(text)
        listing = self.list_root()
        names = [f"cat/{number}{format_}" for number, (_, format_) in enumerate(_STARTS)]
        self.assertEqual(listing.misnamed, sorted(names))
        self.assertEqual(listing.ignored, {"without an extension": len(others)})

    def test_files_with_the_name_of_an_image_are_not_opened(self):
        self.make("photos/cat/1.jpg", "photos/cat/2.PNG", "photos/cat/3.unknown", "photos/cat/4")
        with _opened_paths() as opened:
            self.list_root()
        self.assertEqual({Path(path).name for path in opened}, {"3.unknown", "4"})

    def test_annotations_of_images_do_not_slow_the_scan(self):
        self.make(*(f"photos/cat/{number}.xml" for number in range(500)))
        with _opened_paths() as opened:
            listing = self.list_root()
        self.assertLess(len(opened), 101)
        self.assertEqual(listing.ignored, {".xml": 500})

    def test_folders_of_systems_are_neither_classes_nor_part_of_a_class(self):
        names = (
            *("@eaDir", "#recycle", "#RECYCLE", "@Recycle", "$RECYCLE.BIN", "$Recycle.Bin"),
            *("__MACOSX", "lost+found", "LOST+FOUND", ".Trash-1000", ".Trashes", "Thumbs"),
            *(".AppleDouble", "@tmp", ".@__thumb", "FOUND.000", "System Volume Information"),
        )
        self.make("photos/cat/1.jpg")
        for name in names:
            self.make(f"photos/{name}/1.jpg", f"photos/cat/{name}/2.jpg")
            self.make(f"photos/cat/old/{name}/cat/3.jpg")
        listing = self.list_root()
        self.assertEqual(listing.images, {"cat": ["1.jpg"]})
        expected = [f"{parent}{name}" for name in names for parent in ("", "cat/", "cat/old/")]
        self.assertEqual(listing.system_folders, sorted(expected))
        self.assertEqual((listing.empty_folders, listing.ignored), ([], {}))

    def test_classes_with_similar_names_are_kept(self):
        names = ["trash", "recycled", "thumbs_up", "apple", "@home", "#1", "lost", "found", "$5"]
        self.make(*(f"photos/{name}/1.jpg" for name in names))
        self.assertEqual(list(self.list_root().images), sorted(names))

    def test_a_root_with_the_name_of_a_system_folder_is_read(self):
        self.make("photos/lost+found/cat/1.jpg")
        listing = folders.list_images({"image_dir": self.root / "lost+found"})["image_dir"]
        self.assertEqual(listing.images, {"cat": ["1.jpg"]})

    def test_names_folders_without_images(self):
        self.make("photos/cat/1.jpg", "photos/notes/a.txt")
        (self.root / "dog" / "old").mkdir(parents=True)
        self.assertEqual(self.list_root().empty_folders, ["dog", "notes"])

    def test_counts_images_outside_the_classes(self):
        self.make("photos/1.jpg", "photos/2.PNG", "photos/cat/1.jpg")
        self.assertEqual(self.list_root().outside_classes, 2)

    def test_follows_links_to_files_and_folders_elsewhere(self):
        self.make("store/a.jpg", "store/dogs/b.jpg", "photos/cat/1.jpg")
        self.link("photos/cat/2.jpg", "store/a.jpg")
        self.link("photos/dog", "store/dogs")
        self.assertEqual(self.list_root().images, {"cat": ["1.jpg", "2.jpg"], "dog": ["b.jpg"]})

    def test_the_root_can_be_a_link(self):
        self.make("photos/cat/1.jpg")
        self.link("link", "photos")
        listing = folders.list_images({"image_dir": self.folder / "link"})["image_dir"]
        self.assertEqual(listing.images, {"cat": ["1.jpg"]})

    def test_circular_links_end(self):
        self.make("photos/a/1.jpg", "photos/b/2.jpg")
        self.link("photos/a/up", "photos")
        self.link("photos/a/self", "photos/a")
        self.link("photos/b/other", "photos/a")
        self.link("photos/a/other", "photos/b")
        listing = self.list_root()
        self.assertEqual(listing.images, {"a": ["1.jpg"], "b": ["2.jpg"]})
        self.assertEqual(listing.duplicate_links, ["a/other", "a/self", "b/other"])

    def test_a_link_takes_no_images_from_the_class_that_contains_them(self):
        self.make("photos/dog/puppies/1.jpg", "photos/dog/2.jpg", "photos/cat/3.jpg")
        self.link("photos/cat/a", "photos/dog/puppies")
        self.link("photos/cat/b.jpg", "photos/dog/2.jpg")
        self.link("photos/ape", "photos/dog")
        listing = self.list_root()
        self.assertEqual(listing.images, {"cat": ["3.jpg"], "dog": ["2.jpg", "puppies/1.jpg"]})
        self.assertEqual(listing.duplicate_links, ["ape", "cat/a", "cat/b.jpg"])
        self.assertEqual(listing.empty_folders, [])

    def test_several_links_to_a_file_are_listed_once(self):
        self.make("store/1.jpg", "store/2")
        for class_name, number in (("a", 1), ("b", 2)):
            self.link(f"photos/{class_name}/x{number}.jpg", "store/1.jpg")
            self.link(f"photos/{class_name}/y.jpg", "store/2")
        listing = self.list_root()
        self.assertEqual(listing.images, {"a": ["x1.jpg", "y.jpg"]})
        self.assertEqual(listing.duplicate_links, ["b/x2.jpg", "b/y.jpg"])

    def test_hard_links_are_listed(self):
        self.make("photos/a/1.jpg", "photos/b/2.jpg")
        (self.root / "a" / "3.jpg").hardlink_to(self.root / "b" / "2.jpg")
        self.assertEqual(self.list_root().images, {"a": ["1.jpg", "3.jpg"], "b": ["2.jpg"]})

    def test_an_image_in_two_roots_is_listed_in_the_later_one(self):
        self.make("photos/a/1.jpg", "photos/a/2.jpg", "photos/a/old/3.jpg", "test/a/4.jpg")
        self.link("test/a/2.jpg", "photos/a/2.jpg")
        self.link("test/a/x", "photos/a/old")
        listings = folders.list_images({"image_dir": self.root, "test_dir": self.folder / "test"})
        self.assertEqual(list(listings), ["image_dir", "test_dir"])
        self.assertEqual(listings["image_dir"].images, {"a": ["1.jpg"]})
        self.assertEqual(listings["test_dir"].images, {"a": ["2.jpg", "4.jpg", "x/3.jpg"]})

    def test_a_root_in_another_root_is_not_a_class(self):
        self.make("photos/a/1.jpg", "photos/test/a/2.jpg")
        roots = {"image_dir": self.root, "test_dir": self.root / "test"}
        listing = folders.list_images(roots)["image_dir"]
        self.assertEqual(listing.images, {"a": ["1.jpg"]})
        self.assertEqual(listing.duplicate_links, [])

    def test_names_that_are_not_valid_text(self):
        self.make("photos/a\udcff/1\udcfe.jpg", "photos/b\n/\t.jpg")
        self.assertEqual(self.list_root().images, {"a\udcff": ["1\udcfe.jpg"], "b\n": ["\t.jpg"]})


class RefusedRootTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        # The temporary folder of the test can be inaccessible to other users.
        self.folder = Path(tempfile.mkdtemp(dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)

    def test_missing_folder(self):
        root = self.folder / "no"
        with self.assertRaisesRegex(
            UserError, f"--image_dir={root} cannot be read: No such file or directory; use a"
        ):
            folders.list_images({"image_dir": root})

    def test_file_instead_of_a_folder(self):
        root = self.folder / "file"
        root.touch()
        with self.assertRaisesRegex(UserError, f"--test_dir={root} is a file; use a folder"):
            folders.list_images({"image_dir": self.folder, "test_dir": root})

    def test_the_same_folder_twice(self):
        link = self.folder / "link"
        link.symlink_to(self.folder)
        with self.assertRaisesRegex(UserError, f"--test_dir={link} is the same .* as --image_dir;"):
            folders.list_images({"image_dir": self.folder, "test_dir": link})

    def assert_unreadable(self, locked: Path) -> None:
        program = """
import pathlib, sys
from retrain import errors
from retrain.data import folders
from tests.support import privileges
privileges.drop()
try:
    folders.list_images({"image_dir": pathlib.Path(sys.argv[1])})
except errors.UserError as error:
    print(error)
"""
        locked.mkdir(parents=True, exist_ok=True)
        locked.chmod(0)
        done = run_python(program, self.folder)
        locked.chmod(0o755)
        self.assertIn(
            f"--image_dir={self.folder} cannot be read: {locked}: Permission denied; change",
            done.stdout,
            done.stderr,
        )

    def test_unreadable_root(self):
        self.assert_unreadable(self.folder)

    def test_unreadable_folder_in_the_root(self):
        self.assert_unreadable(self.folder / "cat")
        self.assert_unreadable(self.folder / "dog" / "old")


if __name__ == "__main__":
    absltest.main()
