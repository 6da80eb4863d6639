"""Copies, near-duplicates and bursts become groups, which the cache keeps."""

import dataclasses
import hashlib
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from retrain.bottlenecks.store import open_store
from retrain.config import SplitOptions
from retrain.data.dataset import Dataset, scan_dataset
from retrain.data.groups import number_groups
from retrain.data.image_traits import TRAITS
from retrain.data_check import near_duplicate_groups
from retrain.data_check.near_duplicate_groups import find_groups, group_near_duplicates
from retrain.data_check.near_duplicates import NearDuplicates
from tests.support import natural_images


class GroupNearDuplicatesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = Path(self.create_tempdir().full_path)
        self.images, self.cache = folder / "images", folder / "cache"
        for number in range(24):
            self.save(f"{'ab'[number % 2]}/{number}.jpg", number)

    def save(self, name: str, number: int, **options) -> None:
        path = self.images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        natural_images.draw(number).save(path, **({"quality": 95} | options))

    def group(self) -> Dataset:
        dataset = scan_dataset(self.images, SplitOptions())
        digests = {
            image.path: hashlib.sha256(image.path.read_bytes()).digest() for image in dataset.images
        }
        with open_store(self.cache) as store:
            return group_near_duplicates(dataset, digests, store, cache_dir=self.cache)

    def groups_of(self, dataset: Dataset) -> list[list[str]]:
        names: dict[int, list[str]] = {}
        for image, number in zip(dataset.images, number_groups(dataset.images), strict=True):
            names.setdefault(number, []).append(str(image.path.relative_to(self.images)))
        return sorted(sorted(group) for group in names.values() if len(group) > 1)

    def test_images_that_differ_are_alone(self):
        dataset = self.group()
        self.assertEmpty(self.groups_of(dataset))
        self.assertEqual(dataset.grouping.group_count, 0)

    def test_copies_and_near_duplicates_in_any_class_are_together(self):
        self.save("a/again.jpg", 3, quality=60)
        self.save("b/same.jpg", 4)
        self.save("b/both.jpg", 5, quality=70)
        self.save("a/both.jpg", 5, quality=50)
        self.assertEqual(
            self.groups_of(self.group()),
            [
                ["a/4.jpg", "b/same.jpg"],
                ["a/again.jpg", "b/3.jpg"],
                ["a/both.jpg", "b/5.jpg", "b/both.jpg"],
            ],
        )

    def test_groups_are_found_once(self):
        self.save("a/again.jpg", 3, quality=60)
        first = self.group()
        with mock.patch.object(near_duplicate_groups, "find_groups", side_effect=AssertionError):
            again = self.group()
        self.assertEqual(again, first)
        self.save("a/new.jpg", 6, quality=60)
        self.assertLen(self.groups_of(self.group()), 2)

    def test_groups_are_found_again_if_an_image_moves_to_another_class(self):
        self.group()
        (self.images / "a" / "0.jpg").rename(self.images / "b" / "0.jpg")
        with mock.patch.object(near_duplicate_groups, "find_groups", return_value=[]) as find:
            self.group()
        find.assert_called_once()

    def test_a_set_that_is_too_large_for_near_duplicates_is_named(self):
        self.save("a/again.jpg", 3, quality=60)
        self.save("b/same.jpg", 4)
        with (
            mock.patch.object(near_duplicate_groups, "_MAX_IMAGES", 10),
            self.assertLogs(level="WARNING") as logs,
        ):
            dataset = self.group()
        self.assertEqual(self.groups_of(dataset), [["a/4.jpg", "b/same.jpg"]])
        self.assertIn("use --group_by=folder", logs.output[-1])

    @parameterized.parameters(
        "", "[]", "{}", '{"version": 1', '{"version": 1, "images": "x", "groups": [[0, 1]]}'
    )
    def test_a_file_that_does_not_fit_is_replaced(self, text):
        self.save("a/again.jpg", 3, quality=60)
        expected = self.group()
        (path,) = self.cache.glob("groups-*.json")
        path.write_text(text)
        self.assertEqual(self.group(), expected)
        self.assertIn('"groups": [[', path.read_text())

    def test_numbers_out_of_range_in_the_file_are_not_used(self):
        expected = self.group()
        (path,) = self.cache.glob("groups-*.json")
        path.write_text(path.read_text().replace('"groups": []', '"groups": [[0, 99]]'))
        self.assertEqual(self.group(), expected)

    def test_an_image_that_vanished_since_it_was_read_is_alone(self):
        dataset = scan_dataset(self.images, SplitOptions())
        digests = {
            image.path: hashlib.sha256(image.path.read_bytes()).digest() for image in dataset.images
        }
        dataset.images[0].path.unlink()
        with open_store(self.cache) as store:
            grouped = group_near_duplicates(dataset, digests, store, cache_dir=self.cache)
        self.assertEqual(grouped, dataclasses.replace(dataset, grouping=grouped.grouping))


class ChainsTest(absltest.TestCase):
    def find(self, pairs: list[tuple[int, int, float]], class_sizes: list[int]) -> list[list[int]]:
        found = NearDuplicates(
            np.array([pair[:2] for pair in pairs], np.int64).reshape(-1, 2),
            np.array([pair[2] for pair in pairs], np.float32),
        )
        traits = np.zeros(sum(class_sizes), TRAITS)
        class_ids = np.repeat(np.arange(len(class_sizes)), class_sizes)
        with mock.patch.object(near_duplicate_groups.near_duplicates, "find", lambda _: found):
            return find_groups(traits, class_ids)

    def test_a_chain_through_half_of_a_class_is_divided(self):
        pairs = [(row, row + 1, 0.986 if row % 5 == 4 else 0.997) for row in range(100)]
        groups = self.find(pairs, [200, 200])
        self.assertEqual(sorted(groups)[:2], [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]])

    def test_a_chain_of_equal_links_is_given_up(self):
        pairs = [(row, row + 1, 0.992) for row in range(100)]
        self.assertEmpty(self.find(pairs, [200, 200]))

    def test_a_few_copies_in_a_small_class_stay_together(self):
        pairs = [(row, row + 1, 0.986) for row in range(8)]
        self.assertEqual(self.find(pairs, [12, 12]), [list(range(9))])


if __name__ == "__main__":
    absltest.main()
