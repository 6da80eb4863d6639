"""Files of heat maps have predictable names and replace nothing but earlier heat maps."""

import os
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest
from PIL import Image

from label_image import heat_map_files
from retrain.errors import UserError


class HeatMapFilesTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.image = self.folder / "photo.png"
        Image.new("RGB", (8, 8)).save(self.image)
        self.before = sorted(self.folder.rglob("*"))

    def resolve(self, value: Path, *images: Path) -> list[Path]:
        return heat_map_files.resolve_paths(value, images or [self.image], "heatmap")

    def assert_refused(self, reason: str, value: Path, *images: Path) -> None:
        with self.assertRaisesRegex(UserError, reason):
            self.resolve(value, *images)

    def test_one_image_gets_the_file(self):
        target = self.folder / "new/map.png"
        self.assertEqual(self.resolve(target), [target])
        self.assertEqual(sorted(self.folder.rglob("*")), self.before, "nothing is created")

    def test_several_images_get_files_in_a_folder(self):
        target = self.folder / "maps"
        images = [Path("/a/photo.jpg"), Path("/b/photo.jpg"), Path("/a/photo.png")]
        self.assertEqual(
            [path.name for path in self.resolve(target, *images)],
            ["photo.jpg.png", "photo.jpg-2.png", "photo.png.png"],
        )
        self.assertFalse(target.exists())

    def test_several_images_do_not_fit_in_one_file(self):
        self.assert_refused("2 images; name a folder", self.folder / "a.png", *2 * [self.image])

    def test_a_folder_that_is_a_file_is_refused(self):
        path = self.folder / "notes.txt"
        path.write_text("notes")
        self.assert_refused("notes.txt is a file", path)
        self.assert_refused("cannot be written", path / "map.png")

    def test_the_name_of_another_image_is_not_taken_for_a_folder(self):
        self.assert_refused("heat maps are PNG files", self.folder / "map.JPG")
        (self.folder / "old.jpg").mkdir()
        self.assertEqual(
            self.resolve(self.folder / "old.jpg"), [self.folder / "old.jpg" / "photo.png.png"]
        )

    def test_other_images_are_never_replaced(self):
        other = self.folder / "other.png"
        Image.new("RGB", (8, 8)).save(other)
        self.assert_refused("not a heat map of this program, so it is not replaced", other)
        inside = self.folder / "maps" / "photo.png.png"
        inside.parent.mkdir()
        shutil.copy(other, inside)
        self.assert_refused("not a heat map of this program", inside.parent)

    def test_damaged_files_and_links_are_not_replaced(self):
        for name, content in (("empty", b""), ("text", b"hello"), ("start", b"\x89PNG\r\n\x1a\n")):
            path = self.folder / f"{name}.png"
            path.write_bytes(content)
            self.assert_refused("not a heat map", path)
        link = self.folder / "link.png"
        link.symlink_to(self.folder / "nowhere")
        self.assert_refused("not a heat map", link)

    def test_the_image_itself_is_not_replaced(self):
        self.assert_refused("is the image itself", self.image)
        heat_map = self.folder / "map.png"
        heat_map_files.write(heat_map, Image.new("RGB", (8, 8)))
        self.assert_refused("is the image itself", heat_map, heat_map)
        same = self.folder / "hard_link.png"
        os.link(heat_map, same)
        self.assert_refused("is the image itself", same, heat_map)

    def test_an_earlier_heat_map_is_replaced(self):
        target = self.folder / "maps/map.png"
        heat_map_files.write(target, Image.new("RGB", (8, 8)))
        self.assertEqual(self.resolve(target), [target])
        heat_map_files.write(target, Image.new("RGB", (16, 8)))
        with Image.open(target) as image:
            self.assertEqual(image.width, 16)


if __name__ == "__main__":
    absltest.main()
