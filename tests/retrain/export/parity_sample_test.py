"""Tests which images exported files are checked with."""

from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.bottlenecks.features import Bottlenecks, SplitFeatures
from retrain.config import SplitOptions
from retrain.data import splits
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.export.parity_sample import MIN_IMAGES, draw_sample
from tests.support import sample_classifier


def _split_features(paths: list[Path], split: str) -> SplitFeatures:
    images = tuple(ImageFile(path, 0, split, None) for path in paths)
    return SplitFeatures(
        images, np.zeros((len(paths), 1, 2), np.float16), np.zeros(len(paths), np.int64)
    )


class DrawSampleTest(absltest.TestCase):
    def write_images(self, count: int, prefix: str) -> list[Path]:
        folder = Path(self.create_tempdir().full_path)
        noise = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)
        return [
            sample_classifier.save(folder, image, f"{prefix}{number:03}.png", size=(8, 8))
            for number, image in enumerate(noise)
        ]

    def features(self, **counts: int) -> Bottlenecks:
        self.paths = {name: self.write_images(count, name) for name, count in counts.items()}
        split_features = {split: _split_features(self.paths[split], split) for split in counts}
        percentages = splits.SplitPercentages.from_options(SplitOptions())
        dataset = Dataset(Path("images"), ("a",), ("a",), (), percentages)
        return Bottlenecks(dataset, "float32", split_features, 0, {})

    def test_sufficient_test_images_are_the_whole_sample(self):
        features = self.features(**{TEST: 55, VALIDATION: 5, TRAINING: 5})
        sample = draw_sample(features, 8, 8)
        self.assertEqual(list(sample.paths), self.paths[TEST])
        self.assertEqual((sample.held_out, sample.pixels.shape), (55, (55, 8, 8, 3)))

    def test_other_images_make_up_the_minimum(self):
        features = self.features(**{TEST: 10, VALIDATION: 15, TRAINING: 60})
        sample = draw_sample(features, 8, 8)
        self.assertEqual(sample.held_out, 10)
        self.assertLen(sample.paths, MIN_IMAGES)
        self.assertEqual(list(sample.paths[:25]), self.paths[TEST] + self.paths[VALIDATION])
        self.assertContainsSubset(sample.paths[25:], self.paths[TRAINING])

    def test_a_small_dataset_is_the_whole_sample(self):
        features = self.features(**{TEST: 0, VALIDATION: 3, TRAINING: 4})
        sample = draw_sample(features, 8, 8)
        self.assertEqual((len(sample.paths), sample.held_out), (7, 0))

    def test_a_part_of_many_test_images_is_spread_over_all(self):
        features = self.features(**{TEST: 120, VALIDATION: 0, TRAINING: 1})
        sample = draw_sample(features, 8, 8, max_images=60)
        self.assertLen(set(sample.paths), 60)
        self.assertEqual([sample.paths[0], sample.paths[-1]], self.paths[TEST][::119])

    def test_a_removed_image_is_left_out(self):
        features = self.features(**{TEST: 5, VALIDATION: 0, TRAINING: 3})
        self.paths[TEST][2].unlink()
        sample = draw_sample(features, 8, 8)
        self.assertEqual((len(sample.paths), sample.held_out), (7, 4))


if __name__ == "__main__":
    absltest.main()
