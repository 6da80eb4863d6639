"""Facts of images are measured once, and again only if a file changes."""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image, ImageFilter

from retrain.bottlenecks.store import open_store
from retrain.data.pixels import UnreadableImageError
from retrain.data_check import facts_table, image_facts
from tests.support import natural_images


class FactsTableTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.enter_context(tempfile.TemporaryDirectory()))
        self.paths = [self.folder / f"{number}.png" for number in range(5)]
        for number, path in enumerate(self.paths):
            natural_images.draw(number).save(path)
            # A file that was written just now can change within the resolution of its time.
            os.utime(path, ns=(time.time_ns() - 10**10,) * 2)

    def measure(self):
        with open_store(self.folder / "cache") as store:
            return facts_table.measure_all(self.paths, store)

    def test_cached_facts_are_equal_bit_for_bit_and_files_are_not_read_again(self):
        # The time of the change of attributes, which cannot be set, must be over two seconds ago.
        with absltest.mock.patch.object(facts_table.time, "time_ns", lambda: 2**62):
            first = self.measure()
            with absltest.mock.patch.object(image_facts, "measure", side_effect=AssertionError):
                second = self.measure()
        self.assertEqual(first.digests, second.digests)
        self.assertEqual(first.facts.tobytes(), second.facts.tobytes())

    def test_unreadable_and_vanished_images_are_named(self):
        self.paths[1].write_bytes(b"no image")
        self.paths[3].unlink()
        table = self.measure()
        self.assertEqual(sorted(table.problems), [1, 3])
        self.assertIn("No such file", table.problems[3])
        self.assertIsNotNone(table.digests[1])
        self.assertIsNone(table.digests[3])


class MeasureTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.path = Path(self.enter_context(tempfile.TemporaryDirectory()), "image")

    def measure(self, image: Image.Image, format_: str = "PNG", **options) -> np.ndarray:
        image.save(self.path, format_, **options)
        return image_facts.measure(self.path.read_bytes())

    @parameterized.parameters("JPEG", "PNG", "BMP", "GIF", "WEBP")
    def test_format_and_size(self, format_):
        facts = self.measure(natural_images.draw(0, width=50, height=70), format_)
        self.assertEqual(image_facts.FORMATS[facts["format"]], format_)
        self.assertEqual((facts["width"], facts["height"]), (50, 70))
        self.assertFalse(facts["animated"])

    def test_size_of_a_large_photo_that_is_stored_rotated(self):
        exif = Image.Exif()
        exif[0x0112] = 6
        photo = natural_images.draw(0, width=2000, height=1000)
        facts = self.measure(photo, "JPEG", exif=exif)
        self.assertEqual((facts["width"], facts["height"]), (1000, 2000))

    @parameterized.parameters("GIF", "PNG", "WEBP")
    def test_animations(self, format_):
        frames = [natural_images.draw(seed) for seed in range(3)]
        facts = self.measure(frames[0], format_, save_all=True, append_images=frames[1:])
        self.assertTrue(facts["animated"])

    def test_blur_lowers_the_sharpness_and_size_does_not(self):
        image = natural_images.draw(0, width=900, height=900)
        blurred = image.filter(ImageFilter.GaussianBlur(24))
        self.assertGreater(self.measure(image)["sharpness"], 0.2)
        self.assertLess(self.measure(blurred)["sharpness"], 0.11)

    @parameterized.parameters(1, 2, 31)
    def test_the_smallest_images(self, side):
        self.assertEqual(self.measure(Image.new("RGB", (side, 1)))["width"], side)

    def test_damaged_images_are_refused(self):
        self.measure(natural_images.draw(0))
        with self.assertRaises(UnreadableImageError):
            image_facts.measure(self.path.read_bytes()[:500])


if __name__ == "__main__":
    absltest.main()
