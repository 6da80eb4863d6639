"""Tests that features of images in reduced quality come from the cache if possible."""

import hashlib
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest
from PIL import Image

from retrain.backbones import engines
from retrain.bottlenecks import reduced_features
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.bottlenecks.features import Bottlenecks
from retrain.bottlenecks.reduced_features import compute_reduced
from retrain.config import SplitOptions
from retrain.data import reduced_quality
from retrain.data.dataset import ImageFile, scan_dataset
from tests.support import tiny_backbone


class ReducedFeaturesTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.backbone = tiny_backbone.create(Path(cls.create_tempdir(cls()).full_path))

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.cache = self.folder / "cache"
        rng = np.random.default_rng(0)
        for name in ("a", "b"):
            (self.folder / "images" / name).mkdir(parents=True)
            for number in range(8):
                image = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8))
                image.save(self.folder / "images" / name / f"{number}.png")
        self.features = self.compute()
        self.images: list[ImageFile] = list(self.features.dataset.images)

    def compute(self) -> Bottlenecks:
        dataset = scan_dataset(self.folder / "images", SplitOptions())
        return compute_bottlenecks(dataset, self.backbone, engines.FLOAT32, self.cache)

    def reduced(self) -> tuple[np.ndarray, np.ndarray]:
        return compute_reduced(self.features, self.images, self.backbone, self.cache)

    def test_features_are_those_of_the_network_for_the_copies(self):
        rows, features = self.reduced()
        self.assertCountEqual(rows, range(16))
        network = engines.create(engines.FLOAT32, self.backbone).load()
        for row, vector in zip(rows[:3], features, strict=False):
            data = self.images[row].path.read_bytes()
            digest = hashlib.sha256(data).digest()
            side = tiny_backbone.SIDE
            copy = reduced_quality.decode(data, digest=digest, height=side, width=side)
            expected = network.run(copy[np.newaxis])[0].astype(np.float16)
            np.testing.assert_array_equal(vector, expected)

    def test_the_second_run_needs_no_network(self):
        rows, features = self.reduced()
        with mock.patch.object(engines.Engine, "load", side_effect=AssertionError):
            again = self.reduced()
        np.testing.assert_array_equal(again[0], rows)
        np.testing.assert_array_equal(again[1], features)

    def test_a_new_image_leaves_most_of_the_others_in_place(self):
        with mock.patch.object(reduced_features, "_MAX_COPIES", 5):
            before = {self.images[row].path for row in self.reduced()[0]}
            image = np.full((20, 30, 3), 77, np.uint8)
            Image.fromarray(image).save(self.folder / "images" / "a" / "new.png")
            self.features = self.compute()
            self.images = list(self.features.dataset.images)
            after = {self.images[row].path for row in self.reduced()[0]}
        self.assertLen(after, 5)
        self.assertGreaterEqual(len(before & after), 4)

    def test_images_that_changed_or_vanished_during_the_run_are_left_out(self):
        self.images[0].path.unlink()
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(self.images[1].path)
        self.images[2].path.write_bytes(b"no image")
        rows, features = self.reduced()
        self.assertCountEqual(rows, range(3, 16))
        self.assertLen(features, 13)
        self.assertTrue(np.isfinite(features).all())

    def test_no_images(self):
        rows, features = compute_reduced(self.features, [], self.backbone, self.cache)
        self.assertEqual((rows.shape, features.shape), ((0,), (0, tiny_backbone.WIDTH)))


if __name__ == "__main__":
    absltest.main()
