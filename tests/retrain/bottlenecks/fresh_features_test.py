"""Tests that every step has new distortions, and that the seed determines them."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.backbones import efficientnet_lite0, engines
from retrain.bottlenecks.fresh_features import FreshFeatures
from retrain.data import distortions
from retrain.data.dataset import ImageFile
from retrain.data.splits import TRAINING
from retrain.errors import UserError
from retrain.training_options import DistortionOptions

_OPTIONS = DistortionOptions(
    random_crop=20, random_scale=20, random_brightness=30, flip_left_right=True, per_image=0, seed=3
)


class FreshFeaturesTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.backbone = efficientnet_lite0.load()

    def setUp(self):
        super().setUp()
        folder = Path(self.create_tempdir().full_path)
        rng = np.random.default_rng(0)
        self.images = []
        for number in range(3):
            path = folder / f"{number}.png"
            scene = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
            scene.resize((80, 60), Image.Resampling.BICUBIC).save(path)
            self.images.append(ImageFile(path, number % 2, TRAINING, 0.5))

    def fresh(self, engine: str = engines.FLOAT32, **changes) -> FreshFeatures:
        options = dataclasses.replace(_OPTIONS, **changes)
        return FreshFeatures(self.images, self.backbone, engine, options)

    def distort(self, row: int, number: int) -> np.ndarray:
        data = self.images[row].path.read_bytes()
        digest = hashlib.sha256(data).digest()
        (variant,) = distortions.decode_variants(
            data, [number], _OPTIONS, digest=digest, height=224, width=224
        )
        return variant

    @parameterized.parameters(engines.FLOAT32, engines.TENSORFLOW)
    def test_features_are_those_of_consecutive_variants(self, engine):
        # More than one batch of each engine.
        rows = np.array([2, 0, 0, 1] * 5)
        features = self.fresh(engine).compute(rows)
        self.assertEqual((features.shape, features.dtype), ((20, 1584), np.float32))
        images = np.stack([self.distort(row, n) for n, row in enumerate(rows, 1)])
        expected = engines.create(engines.FLOAT32, self.backbone).load().run(images)
        np.testing.assert_allclose(features, expected, atol=1e-3)

    def test_all_features_of_all_steps_differ(self):
        fresh = self.fresh()
        steps = [fresh.compute(np.array([0, 1, 0])) for _ in range(3)]
        self.assertLen({vector.tobytes() for vector in np.concatenate(steps)}, 9)

    def test_the_seed_determines_the_features(self):
        rows = [np.array([0, 1, 2]), np.array([1, 1]), np.array([2])]
        runs = []
        for seed in (3, 3, 4):
            fresh = self.fresh(seed=seed)
            runs.append(np.concatenate([fresh.compute(step) for step in rows]))
        np.testing.assert_array_equal(runs[0], runs[1])
        self.assertTrue((runs[0] != runs[2]).any(axis=1).all())

    def test_the_network_is_closed_at_the_end(self):
        with self.fresh() as fresh:
            fresh.compute(np.array([0]))
        with self.assertRaises(AttributeError):
            fresh.compute(np.array([0]))

    def test_names_an_image_that_was_deleted(self):
        fresh = self.fresh()
        self.images[1].path.unlink()
        fresh.compute(np.array([0, 2]))
        with self.assertRaisesRegex(UserError, r"1\.png can no longer be read: No such file"):
            fresh.compute(np.array([0, 1]))

    def test_names_an_image_that_was_damaged(self):
        fresh = self.fresh()
        self.images[2].path.write_bytes(b"not an image")
        with self.assertRaisesRegex(UserError, r"2\.png can no longer be read: it is not a JPEG"):
            fresh.compute(np.array([2]))


if __name__ == "__main__":
    absltest.main()
