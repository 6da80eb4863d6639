"""Tests that images keep their split, and that splits have their size and are not empty."""

import hashlib
import itertools
import os
import random
import re
from typing import Any

from absl.testing import absltest, parameterized

from retrain.config import SplitOptions
from retrain.data import splits
from retrain.data.splits import TEST, TRAINING, VALIDATION, SplitPercentages
from retrain.errors import UserError


def options(**changes: Any) -> SplitOptions:
    defaults = {
        "validation_percentage": 10,
        "testing_percentage": 10,
        "split_by": "name",
        "typed_image_dir": "photos",
        "validation_dir": None,
        "test_dir": None,
    }
    return SplitOptions(**{**defaults, **changes})


class PercentageHashTest(parameterized.TestCase):
    def test_hashes_of_known_names(self):
        # Computed with `printf daisy/1.jpg | sha1sum` and bc.
        self.assertAlmostEqual(
            splits.compute_percentage_hash(options(), "daisy", "1.jpg"), 45.68848569, places=7
        )
        self.assertAlmostEqual(
            splits.compute_percentage_hash(options(), "tulips", "a b.png"), 40.71540043, places=7
        )

    @parameterized.parameters("photos", "photos/", "./photos", "/tmp/my_nohash_photos")
    def test_by_path_is_the_formula_of_tensorflows_retrain_py(self, typed):
        for file in ("1.jpg", "rose_nohash_2.jpg", "é_nohash_.jpg"):
            path = os.path.join(typed, "daisy", file)  # noqa: PTH118
            digest = hashlib.sha1(re.sub(r"_nohash_.*$", "", path).encode()).hexdigest()
            expected = (int(digest, 16) % (2**27 - 1 + 1)) * (100.0 / (2**27 - 1))
            by_path = options(split_by="path", typed_image_dir=typed)
            self.assertEqual(splits.compute_percentage_hash(by_path, "daisy", file), expected)

    def test_by_name_does_not_depend_on_the_folder(self):
        elsewhere = options(typed_image_dir="/elsewhere")
        self.assertEqual(
            splits.compute_percentage_hash(options(), "daisy", "1.jpg"),
            splits.compute_percentage_hash(elsewhere, "daisy", "1.jpg"),
        )

    def test_names_that_differ_after_nohash_have_one_hash(self):
        hashes = {
            splits.compute_percentage_hash(options(), "daisy", file)
            for file in ("x/a_nohash_1.jpg", "x/a_nohash_2.png", "x/a_nohash_.jpg")
        }
        self.assertLen(hashes, 1)

    def test_other_names_have_other_hashes(self):
        names = [
            ("daisy", "a_nohash_1.jpg"),
            ("tulips", "a_nohash_1.jpg"),
            ("daisy", "b_nohash_1.jpg"),
            ("daisy", "x/a_nohash_1.jpg"),
            ("daisy", "x_nohash_/a_nohash_1.jpg"),
            ("daisy", "a.jpg"),
        ]
        hashes = {splits.compute_percentage_hash(options(), folder, file) for folder, file in names}
        self.assertLen(hashes, len(names))

    def test_both_unicode_forms_of_a_letter_have_one_hash(self):
        self.assertEqual(
            splits.compute_percentage_hash(options(), "fl\u00e9", "\u00e9.jpg"),
            splits.compute_percentage_hash(options(), "fle\u0301", "e\u0301.jpg"),
        )

    def test_names_that_are_not_valid_text(self):
        for split_by in ("name", "path"):
            self.assertBetween(
                splits.compute_percentage_hash(options(split_by=split_by), "d\udcff", "\udcfe.jpg"),
                0,
                100,
            )


class AssignSplitsTest(parameterized.TestCase):
    def test_the_hash_decides(self):
        hashes = [0.0, 9.999, 10.0, 24.999, 25.0, 100.0]
        self.assertEqual(
            splits.assign_splits(hashes, SplitPercentages(10, 15)),
            [VALIDATION, VALIDATION, TEST, TEST, TRAINING, TRAINING],
        )

    def test_splits_have_their_percentages(self):
        hashes = [
            splits.compute_percentage_hash(options(), "daisy", f"{n}.jpg") for n in range(10_000)
        ]
        assigned = splits.assign_splits(hashes, SplitPercentages(10, 20))
        self.assertAlmostEqual(assigned.count(VALIDATION), 1000, delta=100)
        self.assertAlmostEqual(assigned.count(TEST), 2000, delta=150)

    @parameterized.parameters(
        ([50.0, 60.0, 70.0], [VALIDATION, TEST, TRAINING]),
        ([70.0, 60.0, 50.0], [TRAINING, TEST, VALIDATION]),
        ([1.0, 2.0, 3.0], [VALIDATION, TRAINING, TEST]),
        ([1.0, 2.0, 3.0, 60.0], [VALIDATION, VALIDATION, TEST, TRAINING]),
        ([15.0, 60.0, 70.0, 80.0], [TEST, VALIDATION, TRAINING, TRAINING]),
    )
    def test_an_empty_split_gets_the_nearest_image_of_the_largest_split(self, hashes, expected):
        self.assertEqual(splits.assign_splits(hashes, SplitPercentages(10, 10)), expected)

    def test_adding_an_image_moves_no_other_if_no_split_was_empty(self):
        hashes = [
            splits.compute_percentage_hash(options(), "daisy", f"{n}.jpg") for n in range(100)
        ]
        assigned = splits.assign_splits(hashes, SplitPercentages(10, 10))
        self.assertEqual(
            splits.assign_splits([*hashes, 5.0], SplitPercentages(10, 10)), [*assigned, VALIDATION]
        )

    def test_the_order_of_the_images_does_not_matter(self):
        hashes = [50.0, 61.0, 72.0, 83.0]
        expected = dict(
            zip(hashes, splits.assign_splits(hashes, SplitPercentages(10, 10)), strict=True)
        )
        for order in itertools.permutations(hashes):
            assigned = splits.assign_splits(order, SplitPercentages(10, 10))
            self.assertEqual(dict(zip(order, assigned, strict=True)), expected)

    def test_images_of_one_object_move_together(self):
        hashes = [30.0, 30.0, 40.0, 40.0, 90.0, 90.0]
        self.assertEqual(
            splits.assign_splits(hashes, SplitPercentages(10, 10)),
            [VALIDATION, VALIDATION, TEST, TEST, TRAINING, TRAINING],
        )

    def test_at_most_half_of_a_split_moves(self):
        hashes = [30.0] * 50 + [40.0, 50.0]
        self.assertEqual(
            splits.assign_splits(hashes, SplitPercentages(10, 10)),
            [TRAINING] * 50 + [VALIDATION, TEST],
        )

    def test_takes_from_a_smaller_split_before_it_separates_images_of_one_object(self):
        hashes = [50.0, 50.0, 50.0, 1.0, 2.0]
        self.assertEqual(
            splits.assign_splits(hashes, SplitPercentages(10, 10)),
            [TRAINING] * 3 + [VALIDATION, TEST],
        )

    def test_separates_images_of_one_object_if_there_are_no_others(self):
        self.assertEqual(
            splits.assign_splits([50.0] * 4, SplitPercentages(10, 10)),
            [TRAINING, TRAINING, TEST, VALIDATION],
        )

    @parameterized.parameters(
        (SplitPercentages(0, 10), {TEST, TRAINING}),
        (SplitPercentages(10, 0), {VALIDATION, TRAINING}),
        (SplitPercentages(0, 0), {TRAINING}),
        (SplitPercentages(10, 10), {VALIDATION, TEST, TRAINING}),
        (SplitPercentages(99, 0.5), {VALIDATION, TEST, TRAINING}),
    )
    def test_fills_only_the_splits_that_have_a_percentage(self, percentages, expected):
        chance = random.Random(0)
        for _ in range(500):
            several = [chance.uniform(0, 100) for _ in range(chance.randint(1, 4))]
            hashes = [chance.choice(several) for _ in range(chance.randint(3, 9))]
            self.assertEqual(set(splits.assign_splits(hashes, percentages)), expected, hashes)


class OptionsTest(parameterized.TestCase):
    @parameterized.parameters(
        ("validation_percentage", -1),
        ("validation_percentage", 101),
        ("testing_percentage", -0.5),
        ("testing_percentage", float("nan")),
    )
    def test_refuses_invalid_percentages(self, flag, value):
        with self.assertRaisesRegex(UserError, f"--{flag}={value} must be from 0 to 100"):
            splits.check_options(options(**{flag: value}))

    @parameterized.parameters((50, 50), (100, 0), (0, 100), (60, 70))
    def test_refuses_to_leave_no_training_images(self, validation, testing):
        message = (
            f"--validation_percentage={validation} and --testing_percentage={testing} leave no "
            "images for training"
        )
        with self.assertRaisesRegex(UserError, message):
            splits.check_options(
                options(validation_percentage=validation, testing_percentage=testing)
            )

    @parameterized.parameters((0, 0), (99, 0), (10, 10), (49.5, 50))
    def test_accepts_percentages_that_leave_training_images(self, validation, testing):
        splits.check_options(options(validation_percentage=validation, testing_percentage=testing))

    def test_a_split_with_its_own_folder_gets_no_percentage(self):
        self.assertEqual(
            SplitPercentages.from_options(options(validation_dir="v")), SplitPercentages(0, 10)
        )
        self.assertEqual(
            SplitPercentages.from_options(options(test_dir="t")), SplitPercentages(10, 0)
        )
        splits.check_options(
            options(validation_percentage=60, testing_percentage=60, validation_dir="v")
        )


if __name__ == "__main__":
    absltest.main()
