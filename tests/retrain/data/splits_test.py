"""Images stay in their part, parts have their share, and none is left empty."""

import hashlib
import itertools
import os
import random
import re
from typing import Any

from absl.testing import absltest, parameterized

from retrain.config import SplitOptions
from retrain.data import splits
from retrain.data.splits import TEST, TRAINING, VALIDATION, Shares
from retrain.errors import UserError


def options(**changes: Any) -> SplitOptions:
    usual = {
        "validation_percentage": 10,
        "testing_percentage": 10,
        "split_by": "name",
        "typed_image_dir": "photos",
        "validation_dir": None,
        "test_dir": None,
    }
    return SplitOptions(**{**usual, **changes})


class PlaceTest(parameterized.TestCase):
    def test_of_known_names(self):
        # Worked out with `printf daisy/1.jpg | sha1sum` and bc.
        self.assertAlmostEqual(splits.place(options(), "daisy", "1.jpg"), 45.68848569, places=7)
        self.assertAlmostEqual(splits.place(options(), "tulips", "a b.png"), 40.71540043, places=7)

    @parameterized.parameters("photos", "photos/", "./photos", "/tmp/my_nohash_photos")
    def test_by_path_is_the_originals_formula(self, typed):
        for file in ("1.jpg", "rose_nohash_2.jpg", "é_nohash_.jpg"):
            path = os.path.join(typed, "daisy", file)  # noqa: PTH118
            digest = hashlib.sha1(re.sub(r"_nohash_.*$", "", path).encode()).hexdigest()
            expected = (int(digest, 16) % (2**27 - 1 + 1)) * (100.0 / (2**27 - 1))
            by_path = options(split_by="path", typed_image_dir=typed)
            self.assertEqual(splits.place(by_path, "daisy", file), expected)

    def test_by_name_does_not_depend_on_the_folder(self):
        elsewhere = options(typed_image_dir="/elsewhere")
        self.assertEqual(
            splits.place(options(), "daisy", "1.jpg"), splits.place(elsewhere, "daisy", "1.jpg")
        )

    def test_names_that_differ_after_nohash_share_a_place(self):
        places = {
            splits.place(options(), "daisy", file)
            for file in ("x/a_nohash_1.jpg", "x/a_nohash_2.png", "x/a_nohash_.jpg")
        }
        self.assertLen(places, 1)

    def test_other_names_have_other_places(self):
        names = [
            ("daisy", "a_nohash_1.jpg"),
            ("tulips", "a_nohash_1.jpg"),
            ("daisy", "b_nohash_1.jpg"),
            ("daisy", "x/a_nohash_1.jpg"),
            ("daisy", "x_nohash_/a_nohash_1.jpg"),
            ("daisy", "a.jpg"),
        ]
        places = {splits.place(options(), folder, file) for folder, file in names}
        self.assertLen(places, len(names))

    def test_both_ways_to_write_a_letter_give_one_place(self):
        self.assertEqual(
            splits.place(options(), "fl\u00e9", "\u00e9.jpg"),
            splits.place(options(), "fle\u0301", "e\u0301.jpg"),
        )

    def test_names_of_invalid_text(self):
        for by in ("name", "path"):
            self.assertBetween(splits.place(options(split_by=by), "d\udcff", "\udcfe.jpg"), 0, 100)


class AssignTest(parameterized.TestCase):
    def test_place_decides(self):
        places = [0.0, 9.999, 10.0, 24.999, 25.0, 100.0]
        self.assertEqual(
            splits.assign(places, Shares(10, 15)),
            [VALIDATION, VALIDATION, TEST, TEST, TRAINING, TRAINING],
        )

    def test_parts_have_their_shares(self):
        places = [splits.place(options(), "daisy", f"{n}.jpg") for n in range(10_000)]
        parts = splits.assign(places, Shares(10, 20))
        self.assertAlmostEqual(parts.count(VALIDATION), 1000, delta=100)
        self.assertAlmostEqual(parts.count(TEST), 2000, delta=150)

    @parameterized.parameters(
        ([50.0, 60.0, 70.0], [VALIDATION, TEST, TRAINING]),
        ([70.0, 60.0, 50.0], [TRAINING, TEST, VALIDATION]),
        ([1.0, 2.0, 3.0], [VALIDATION, TRAINING, TEST]),
        ([1.0, 2.0, 3.0, 60.0], [VALIDATION, VALIDATION, TEST, TRAINING]),
        ([15.0, 60.0, 70.0, 80.0], [TEST, VALIDATION, TRAINING, TRAINING]),
    )
    def test_empty_part_gets_the_nearest_image_of_the_largest(self, places, expected):
        self.assertEqual(splits.assign(places, Shares(10, 10)), expected)

    def test_adding_an_image_moves_no_other_where_no_part_was_empty(self):
        places = [splits.place(options(), "daisy", f"{n}.jpg") for n in range(100)]
        parts = splits.assign(places, Shares(10, 10))
        self.assertEqual(splits.assign([*places, 5.0], Shares(10, 10)), [*parts, VALIDATION])

    def test_the_order_of_the_images_does_not_matter(self):
        places = [50.0, 61.0, 72.0, 83.0]
        expected = dict(zip(places, splits.assign(places, Shares(10, 10)), strict=True))
        for order in itertools.permutations(places):
            parts = splits.assign(order, Shares(10, 10))
            self.assertEqual(dict(zip(order, parts, strict=True)), expected)

    def test_images_of_one_thing_move_together(self):
        places = [30.0, 30.0, 40.0, 40.0, 90.0, 90.0]
        self.assertEqual(
            splits.assign(places, Shares(10, 10)),
            [VALIDATION, VALIDATION, TEST, TEST, TRAINING, TRAINING],
        )

    def test_most_of_a_part_never_moves(self):
        places = [30.0] * 50 + [40.0, 50.0]
        self.assertEqual(
            splits.assign(places, Shares(10, 10)), [TRAINING] * 50 + [VALIDATION, TEST]
        )

    def test_takes_from_a_smaller_part_before_it_separates_images_of_one_thing(self):
        places = [50.0, 50.0, 50.0, 1.0, 2.0]
        self.assertEqual(splits.assign(places, Shares(10, 10)), [TRAINING] * 3 + [VALIDATION, TEST])

    def test_separates_images_of_one_thing_where_there_is_nothing_else(self):
        self.assertEqual(
            splits.assign([50.0] * 4, Shares(10, 10)), [TRAINING, TRAINING, TEST, VALIDATION]
        )

    @parameterized.parameters(
        (Shares(0, 10), {TEST, TRAINING}),
        (Shares(10, 0), {VALIDATION, TRAINING}),
        (Shares(0, 0), {TRAINING}),
        (Shares(10, 10), {VALIDATION, TEST, TRAINING}),
        (Shares(99, 0.5), {VALIDATION, TEST, TRAINING}),
    )
    def test_fills_the_parts_that_have_a_share_and_no_others(self, shares, expected):
        chance = random.Random(0)
        for _ in range(500):
            several = [chance.uniform(0, 100) for _ in range(chance.randint(1, 4))]
            places = [chance.choice(several) for _ in range(chance.randint(3, 9))]
            self.assertEqual(set(splits.assign(places, shares)), expected, places)


class OptionsTest(parameterized.TestCase):
    @parameterized.parameters(
        ("validation_percentage", -1),
        ("validation_percentage", 101),
        ("testing_percentage", -0.5),
        ("testing_percentage", float("nan")),
    )
    def test_refuses_impossible_percentages(self, flag, value):
        with self.assertRaisesRegex(UserError, f"--{flag} must be from 0 to 100, not {value}"):
            splits.check_options(options(**{flag: value}))

    @parameterized.parameters((50, 50), (100, 0), (0, 100), (60, 70))
    def test_refuses_to_leave_nothing_to_train_on(self, validation, testing):
        message = (
            f"--validation_percentage={validation} and --testing_percentage={testing} leave no"
        )
        with self.assertRaisesRegex(UserError, message):
            splits.check_options(
                options(validation_percentage=validation, testing_percentage=testing)
            )

    @parameterized.parameters((0, 0), (99, 0), (10, 10), (49.5, 50))
    def test_accepts_what_leaves_something(self, validation, testing):
        splits.check_options(options(validation_percentage=validation, testing_percentage=testing))

    def test_given_parts_get_no_share(self):
        self.assertEqual(splits.shares_of(options(validation_dir="v")), Shares(0, 10))
        self.assertEqual(splits.shares_of(options(test_dir="t")), Shares(10, 0))
        splits.check_options(
            options(validation_percentage=60, testing_percentage=60, validation_dir="v")
        )


if __name__ == "__main__":
    absltest.main()
