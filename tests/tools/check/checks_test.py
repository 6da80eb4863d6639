"""Each kind of problem is found where it is, and nowhere else."""

from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION, SplitPercentages
from retrain.data_check.findings import FIXABLE, KIND_OF_NAME, KINDS, Finding
from retrain.data_check.image_facts import FACTS, FORMATS
from retrain.data_check.near_duplicates import NearDuplicates
from tools.check import class_checks, feature_checks, group_checks, image_checks


def _facts(**changes) -> np.ndarray:
    facts = np.zeros(1, FACTS)
    good = {"width": 300, "height": 200, "format": FORMATS.index("JPEG"), "sharpness": 0.4}
    for name, value in {**good, "light_level": 220, "brightest": 250, **changes}.items():
        facts[name] = value
    return facts


def _dataset(folders: tuple[str, ...], counts: tuple[int, ...]) -> Dataset:
    images = tuple(
        ImageFile(Path("/d", folder, f"{number}.jpg"), class_id, TRAINING, 50.0)
        for class_id, (folder, count) in enumerate(zip(folders, counts, strict=True))
        for number in range(count)
    )
    return Dataset(Path("/d"), folders, folders, images, SplitPercentages(10, 10))


class PixelsTest(parameterized.TestCase):
    @parameterized.parameters(
        ({}, []),
        ({"darkest": 250, "brightest": 255}, ["blank"]),
        ({"light_level": 30}, ["dark"]),
        ({"sharpness": 0.05}, ["blurred"]),
        ({"width": 20, "height": 20}, ["tiny"]),
        ({"width": 900}, ["odd_aspect"]),
        ({"height": 1000}, ["odd_aspect"]),
        ({"animated": 1, "format": FORMATS.index("GIF")}, ["animated", "wrong_extension"]),
        ({"format": FORMATS.index("PNG")}, ["wrong_extension"]),
    )
    def test_one_problem(self, changes, expected):
        found = image_checks.find_in_pixels([Path("a/b.JPG")], _facts(**changes), [0])
        self.assertEqual([finding.kind for finding in found], expected)

    def test_huge_images_are_huge_for_their_data_set(self):
        facts = np.concatenate(
            [*[_facts(width=100, height=100)] * 5, _facts(width=3024, height=3024)]
        )
        found = list(image_checks.find_in_pixels([Path("a.jpg")] * 6, facts, range(6)))
        self.assertEqual([(f.kind, f.images) for f in found], [("huge", (5,))])
        self.assertEmpty(list(image_checks.find_in_pixels([Path("a.jpg")], facts[5:], [0])))

    def test_truncated_files_are_told_from_other_unreadable_ones(self):
        problems = {4: "it is damaged (image file is truncated)", 2: "it is an empty file"}
        found = list(image_checks.find_unreadable(problems))
        self.assertEqual(
            [(f.kind, f.images) for f in found], [("unreadable", (2,)), ("truncated", (4,))]
        )


class GroupsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        rows = [(0, TRAINING), (0, TRAINING), (0, TEST), (1, VALIDATION), (0, TRAINING)]
        self.images = [
            ImageFile(Path(f"/d/{number}.jpg"), class_id, split, None)
            for number, (class_id, split) in enumerate(rows)
        ]

    def kinds(self, *groups) -> list[tuple]:
        found = group_checks.find_duplicates(groups, self.images)
        return [(finding.kind, finding.images) for finding in found]

    def test_classes_matter_more_than_splits(self):
        self.assertEqual(self.kinds([0, 1]), [("duplicate", (0, 1))])
        self.assertEqual(self.kinds([0, 3]), [("duplicate_across_classes", (3, 0))])
        self.assertEqual(self.kinds([0, 1, 2]), [("duplicate_across_splits", (2, 0, 1))])
        self.assertEmpty(self.kinds([0], [1]))

    def test_pairs_are_joined_to_groups(self):
        pairs = np.array([[0, 1], [2, 3], [1, 3]])
        found = NearDuplicates(pairs, np.array([0.99, 0.995, 1.0], np.float32))
        (finding,) = group_checks.find_near_duplicates(found, [0, 1, 2, 4], self.images)
        self.assertEqual(finding.kind, "near_duplicate_across_splits")
        self.assertEqual(finding.images, (2, 0, 1, 4))
        self.assertAlmostEqual(finding.score, 0.99)


class ClassesTest(absltest.TestCase):
    def found(self, *arguments) -> list[tuple]:
        found = class_checks.find_in_classes(_dataset(*arguments))
        return [(finding.kind, finding.classes) for finding in found]

    def test_good_classes(self):
        self.assertEmpty(self.found(("cat", "dog"), (30, 50)))

    def test_small_classes_and_imbalance(self):
        found = self.found(("cat", "dog", "emu"), (300, 1, 25))
        self.assertEqual(found, [("small_class", ("dog",)), ("imbalance", ("cat", "dog"))])

    def test_a_single_class(self):
        self.assertEqual(self.found(("cat",), (30,)), [("small_class", ("cat",))])

    def test_names_that_collide(self):
        # The last two differ in a Cyrillic letter.
        found = self.found(("Hot Dog", "hot-dog", "cat", "c\u0430t"), (30,) * 4)
        self.assertCountEqual(
            found,
            [("label_collision", ("Hot Dog", "hot-dog")), ("label_collision", ("cat", "c\u0430t"))],
        )


class FeaturesTest(absltest.TestCase):
    def test_tiny_classes_are_not_judged(self):
        rng = np.random.default_rng(0)
        features = rng.standard_normal((23, 6)).astype(np.float16)
        features[:10] += 8
        class_ids = np.array([0] * 10 + [1] * 10 + [2] * 3)
        class_ids[4] = 1
        found = feature_checks.find_in_features(
            features, range(100, 123), class_ids, labels=("red", "green", "blue")
        )
        wrong = [finding for finding in found if finding.kind == "mislabelled"]
        self.assertEqual([(f.images, f.detail) for f in wrong], [((104,), "looks like red")])


class KindsTest(absltest.TestCase):
    def test_names_are_unique_and_fixes_are_of_images(self):
        self.assertLen(KIND_OF_NAME, len(KINDS))
        self.assertNoCommonElements(FIXABLE, ("label_collision", "small_class", "imbalance"))
        self.assertEqual(Finding("blank").images, ())


if __name__ == "__main__":
    absltest.main()
