"""Bottlenecks come from the cache whenever they can, and never stale."""

import os
import shutil
from pathlib import Path

import numpy as np
from absl.testing import absltest
from PIL import Image

from retrain import bottlenecks, images, pixels
from retrain.backbones import efficientnet_lite0, engines
from retrain.bottlenecks import Bottlenecks
from retrain.config import SplitOptions
from retrain.errors import UserError
from retrain.splits import TEST, TRAINING


class BottlenecksTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.backbone = efficientnet_lite0.load()
        self.folder = Path(self.create_tempdir().full_path)
        self.cache = self.folder / "cache"
        self.pictures = self.folder / "pictures"
        rng = np.random.default_rng(0)
        for category in ("a", "b"):
            (self.pictures / category).mkdir(parents=True)
            for number in range(4):
                picture = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
                path = self.pictures / category / f"{number}.png"
                picture.save(path)
                # States that are younger than two seconds are not remembered.
                os.utime(path, (1, 1))

    def compute(self, folder: Path | None = None, engine="float32", strict=False) -> Bottlenecks:
        dataset = images.scan(folder or self.pictures, SplitOptions())
        return bottlenecks.compute(dataset, self.backbone, engine, self.cache, strict)

    def test_vectors_are_those_of_the_engine_in_the_order_of_the_pictures(self):
        result = self.compute()
        engine = engines.LiteRTEngine(self.backbone)
        for picture, vector in zip(result.dataset.pictures, result.vectors, strict=True):
            decoded = pixels.decode(picture.path.read_bytes(), 224, 224)
            np.testing.assert_array_equal(engine.features(decoded[np.newaxis])[0], vector)

    def test_a_second_run_computes_nothing_and_gives_the_same_bits(self):
        first, second = self.compute(), self.compute()
        self.assertEqual((first.computed, second.computed), (8, 0))
        np.testing.assert_array_equal(first.vectors, second.vectors)

    def test_copied_and_renamed_pictures_are_found_again(self):
        self.compute()
        copy = self.folder / "copy"
        shutil.copytree(self.pictures, copy)
        (copy / "a").rename(copy / "c")
        (copy / "b/0.png").rename(copy / "b/new.png")
        self.assertEqual(self.compute(copy).computed, 0)

    def test_a_changed_picture_is_computed_anew(self):
        before = self.compute()
        path = self.pictures / "a/1.png"
        Image.new("RGB", (50, 40), "red").save(path)
        after = self.compute()
        self.assertEqual(after.computed, 1)
        changed = (before.vectors != after.vectors).any(axis=1)
        self.assertEqual([p.path == path for p in after.dataset.pictures], changed.tolist())

    def test_both_engines_share_the_cache_because_they_agree(self):
        first = self.compute(engine="tensorflow")
        self.assertEqual(self.compute(engine="float32").computed, 0)
        self.cache = self.folder / "another"
        np.testing.assert_allclose(first.vectors, self.compute().vectors, atol=1e-4)

    def test_an_unreadable_picture_is_left_out_and_named(self):
        bad = self.pictures / "b/2.png"
        bad.write_bytes(b"not a picture")
        with self.assertLogs(level="WARNING") as logs:
            result = self.compute()
        self.assertEqual(list(result.unreadable), [bad])
        self.assertLen(result.vectors, 7)
        self.assertNotIn(bad, [picture.path for picture in result.dataset.pictures])
        self.assertIn(str(bad), "\n".join(logs.output))
        self.assertEqual(self.compute().computed, 0)

    def test_strict_makes_it_an_error(self):
        (self.pictures / "b/2.png").write_bytes(b"")
        with self.assertRaisesRegex(
            UserError, "2.png cannot be read: it is an empty file.*--strict"
        ):
            self.compute(strict=True)

    def test_parts_have_their_own_pictures(self):
        result = self.compute()
        part = result.part(TRAINING)
        self.assertEqual(part.pictures, result.dataset.split(TRAINING))
        self.assertEqual(part.categories.tolist(), [p.category for p in part.pictures])
        self.assertEqual(part.vectors.shape, (len(part.pictures), 1280))
        some = result.part(TEST).sample(1, seed=3)
        self.assertLen(some.pictures, 1)
        self.assertEqual(some.pictures, result.part(TEST).sample(1, seed=3).pictures)

    def test_equal_pictures_are_pointed_out(self):
        shutil.copy(self.pictures / "a/0.png", self.pictures / "b/same.png")
        with self.assertLogs(level="WARNING") as logs:
            self.compute()
        self.assertIn("in two categories", "\n".join(logs.output))


if __name__ == "__main__":
    absltest.main()
