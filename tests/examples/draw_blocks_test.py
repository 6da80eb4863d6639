"""Tests that the example images are complete, and that draw_blocks draws the same images."""

import io
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from examples import draw_blocks
from examples.block_shapes import CLASSES
from examples.draw_blocks import SEED, draw_image

# Relative to the workspace, where Bazel starts tests.
BLOCKS = Path("examples/blocks")


class DrawBlocksTest(parameterized.TestCase):
    def test_seed_and_number_determine_the_image(self):
        # Smaller images are drawn faster.
        self.enter_context(mock.patch.object(draw_blocks, "SIZES", [(48, 36)]))
        drawn = draw_image("ones", 7, 3)
        self.assertEqual(drawn, draw_image("ones", 7, 3))
        self.assertNotEqual(drawn, draw_image("ones", 7, 4))
        self.assertNotEqual(drawn, draw_image("ones", 8, 3))

    @parameterized.parameters(*CLASSES)
    def test_draws_the_committed_images(self, class_name):
        with Image.open(BLOCKS / class_name / f"{class_name}_001.jpg") as committed:
            drawn = Image.open(io.BytesIO(draw_image(class_name, SEED, 1)))
            self.assertEqual(drawn.size, committed.size)
            # Other processors round differently, and other versions of Pillow compress differently.
            difference = np.abs(np.asarray(drawn, float) - np.asarray(committed, float))
            self.assertLess(difference.mean(), 2)


class CommittedImagesTest(absltest.TestCase):
    def test_each_class_has_at_least_40_images(self):
        images = {folder.name: len(list(folder.iterdir())) for folder in BLOCKS.iterdir()}
        self.assertCountEqual(images, ["ones", "tens", "hundreds"])
        self.assertGreaterEqual(min(images.values()), 40)

    def test_all_images_are_readable_and_different(self):
        files = sorted(BLOCKS.rglob("*.jpg"))
        for path in files:
            with Image.open(path) as image:
                image.load()
                self.assertEqual((image.format, image.mode), ("JPEG", "RGB"), path)
        self.assertLen({path.read_bytes() for path in files}, len(files))

    def test_all_images_together_are_small(self):
        size = sum(path.stat().st_size for path in BLOCKS.rglob("*") if path.is_file())
        self.assertLess(size, 2_000_000)


if __name__ == "__main__":
    absltest.main()
