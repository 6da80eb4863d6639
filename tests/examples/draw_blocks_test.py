"""The example images are there, and draw_blocks draws them again."""

import io
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from examples.block_shapes import CATEGORIES
from examples.draw_blocks import SEED, draw_image

# Relative to the workspace, where Bazel starts tests.
BLOCKS = Path("examples/blocks")


class DrawBlocksTest(parameterized.TestCase):
    def test_only_the_same_seed_and_number_draw_the_same_bytes(self):
        drawn = draw_image("ones", 7, 3)
        self.assertEqual(drawn, draw_image("ones", 7, 3))
        self.assertNotEqual(drawn, draw_image("ones", 7, 4))
        self.assertNotEqual(drawn, draw_image("ones", 8, 3))

    @parameterized.parameters(*CATEGORIES)
    def test_the_committed_images_can_be_drawn_again(self, class_id):
        with Image.open(BLOCKS / class_id / f"{class_id}_001.jpg") as committed:
            drawn = Image.open(io.BytesIO(draw_image(class_id, SEED, 1)))
            self.assertEqual(drawn.size, committed.size)
            # Other processors round otherwise, and other versions of Pillow compress otherwise.
            difference = np.abs(np.asarray(drawn, float) - np.asarray(committed, float))
            self.assertLess(difference.mean(), 2)


class CommittedImagesTest(absltest.TestCase):
    def test_there_are_enough_of_three_classes(self):
        images = {folder.name: len(list(folder.iterdir())) for folder in BLOCKS.iterdir()}
        self.assertCountEqual(images, ["ones", "tens", "hundreds"])
        self.assertGreaterEqual(min(images.values()), 40)

    def test_all_can_be_read_and_none_is_there_twice(self):
        files = sorted(BLOCKS.rglob("*.jpg"))
        for path in files:
            with Image.open(path) as image:
                image.load()
                self.assertEqual((image.format, image.mode), ("JPEG", "RGB"), path)
        self.assertLen({path.read_bytes() for path in files}, len(files))

    def test_they_are_quickly_cloned(self):
        size = sum(path.stat().st_size for path in BLOCKS.rglob("*") if path.is_file())
        self.assertLess(size, 2_000_000)


if __name__ == "__main__":
    absltest.main()
