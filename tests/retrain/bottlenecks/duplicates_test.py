"""Tests that identical files in different classes or splits are reported."""

from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.bottlenecks.duplicates import warn_of_duplicates, warn_of_equal_vectors
from retrain.data.dataset import ImageFile
from retrain.data.splits import TEST, TRAINING


def _image(name: str, class_id: int = 0, split: str = TRAINING) -> ImageFile:
    return ImageFile(Path("/images", name), class_id, split, 50.0)


class DuplicatesTest(absltest.TestCase):
    def warnings(self, *images_and_digests: tuple[ImageFile, bytes]) -> list[str]:
        with self.assertLogs(level="WARNING") as logs:
            warn_of_duplicates(images_and_digests)
        return [record.getMessage() for record in logs.records]

    def test_duplicates_in_one_class_and_split_are_not_reported(self):
        with self.assertNoLogs():
            warn_of_duplicates([(_image("a"), b"1"), (_image("b"), b"1"), (_image("c"), b"2")])

    def test_an_image_in_two_classes(self):
        self.assertEqual(
            self.warnings((_image("a"), b"1"), (_image("b"), b"2"), (_image("c", 1), b"1")),
            ["The same image is in two classes: /images/a = /images/c. One of them is wrong."],
        )

    def test_an_image_in_two_splits(self):
        self.assertEqual(
            self.warnings((_image("a"), b"1"), (_image("b", split=TEST), b"1")),
            [
                "The same image is in two splits, so the measured accuracy is too high: "
                "/images/a = /images/b."
            ],
        )

    def test_lists_three_images(self):
        pairs = [
            (_image(f"{number}{split}", split=split), b"%d" % number)
            for number in range(5)
            for split in (TRAINING, TEST)
        ]
        (warning,) = self.warnings(*pairs)
        self.assertEndsWith(warning, "; /images/2training = /images/2test and 2 more.")

    def test_lists_five_copies_of_an_image(self):
        pairs = [(_image(str(number), number % 2), b"1") for number in range(50)]
        (warning,) = self.warnings(*pairs)
        self.assertIn(": /images/0 = /images/1 = ", warning)
        self.assertIn(" = /images/4 and 45 more. ", warning)


class EqualVectorsTest(absltest.TestCase):
    def test_equal_vectors_of_all_splits_are_reported(self):
        vectors = np.full((5, 8), 0.3, np.float16)
        vectors[3] += np.float16(0.001)  # A difference that an engine makes.
        with self.assertLogs(level="WARNING") as logs:
            warn_of_equal_vectors([vectors, vectors[:0], vectors[:2]])
        self.assertIn("All 7 images look the same", logs.output[0])

    def test_a_single_different_image_is_enough(self):
        vectors = np.full((5, 8), 0.3, np.float16)
        other = vectors.copy()
        other[4, 2] = 0.5
        with self.assertNoLogs():
            warn_of_equal_vectors([vectors, other])

    def test_two_images_are_too_few_to_judge(self):
        with self.assertNoLogs():
            warn_of_equal_vectors([np.zeros((2, 8), np.float16), np.zeros((0, 8), np.float16)])


if __name__ == "__main__":
    absltest.main()
