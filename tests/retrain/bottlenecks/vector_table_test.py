"""Tests that the table knows which bottlenecks are stored, computed and missing."""

import hashlib
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest

from retrain.backbones.engines import Engine
from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.recipes import Recipes
from retrain.bottlenecks.store import open_store
from retrain.bottlenecks.vector_computer import ImageVectors
from retrain.bottlenecks.vector_table import VectorTable
from retrain.data.dataset import ImageFile
from retrain.data.splits import TRAINING
from retrain.training_options import DistortionOptions

_WIDTH = 2
_OPTIONS = DistortionOptions(flip_left_right=True, per_image=2)
_ENGINE = Engine("float32", {"backbone": "0"}, mock.Mock(side_effect=AssertionError))
_RECIPES = Recipes.build(_ENGINE.recipe, _OPTIONS)


def _vectors(*values: float) -> np.ndarray:
    return np.array([[value] * _WIDTH for value in values], np.float16)


class VectorTableTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.images = []
        for name in "abc":
            path = self.folder / name
            path.write_text(name)
            self.images.append(ImageFile(path, 0, TRAINING, 50.0))
        self.digests = [hashlib.sha256(name.encode()).digest() for name in "abc"]
        self.store = self.enter_context(open_store(self.folder / "cache"))

    def table(self) -> VectorTable:
        return VectorTable(self.images, _ENGINE, _OPTIONS, feature_width=_WIDTH, folder=self.folder)

    def store_vectors(self, row: int, *numbers: int, known_file: bool) -> None:
        for number in numbers:
            vector = _vectors(10 * row + number)[0]
            recipe = _RECIPES.of_variant(number)
            self.store.put_vectors(recipe, [(self.digests[row], number, vector)])
        if known_file:
            version = FileVersion.from_stat(self.images[row].path.stat())
            self.store.put_digests([(version, self.digests[row])])

    def result(self, row: int, *numbers: int) -> ImageVectors:
        vectors = _vectors(*(10 * row + number for number in numbers))
        return ImageVectors(row, None, self.digests[row], [*numbers], vectors.reshape(-1, _WIDTH))

    def test_everything_is_missing_at_first(self):
        table = self.table()
        table.read_known_files(self.store)
        self.assertEqual(table.incomplete_rows(), [0, 1, 2])
        self.assertEqual(table.count_missing(), 9)
        self.assertEmpty(table.images_and_digests())

    def test_bottlenecks_of_known_files_are_read(self):
        self.store_vectors(0, 0, 1, 2, known_file=True)
        self.store_vectors(1, 0, 2, known_file=True)
        self.store_vectors(2, 0, 1, 2, known_file=False)
        table = self.table()
        table.read_known_files(self.store)
        self.assertEqual(table.incomplete_rows(), [1, 2])
        self.assertEqual([table.count_missing(row) for row in range(3)], [0, 1, 3])
        np.testing.assert_array_equal(table.vectors[0], _vectors(0, 1, 2))
        np.testing.assert_array_equal(table.vectors[1, [0, 2]], _vectors(10, 12))
        self.assertEqual((table.count_computed(), table.count_reused(set())), (0, 5))

    def test_a_deleted_file_is_missing(self):
        self.store_vectors(0, 0, 1, 2, known_file=True)
        self.images[0].path.unlink()
        table = self.table()
        table.read_known_files(self.store)
        self.assertEqual(table.incomplete_rows(), [0, 1, 2])

    def test_stored_variants_are_bits(self):
        self.store_vectors(0, 0, 2, known_file=False)
        self.store_vectors(1, 1, known_file=False)
        self.assertEqual(
            self.table().stored_variants(self.store),
            {self.digests[0]: 0b101, self.digests[1]: 0b10},
        )

    def test_results_complete_the_table(self):
        self.store_vectors(1, 0, known_file=True)
        table = self.table()
        table.read_known_files(self.store)
        table.add(self.result(1, 1, 2))
        self.assertEqual(table.incomplete_rows(), [0, 2])
        np.testing.assert_array_equal(table.vectors[1], _vectors(10, 11, 12))
        self.assertEqual((table.count_computed(), table.count_reused(set())), (2, 1))
        self.assertCountEqual(
            table.computed_keys(),
            [(_RECIPES.distorted, self.digests[1], 1), (_RECIPES.distorted, self.digests[1], 2)],
        )
        self.assertEqual(table.images_and_digests(), [(self.images[1], self.digests[1])])

    def test_a_result_for_changed_content_replaces_what_was_read(self):
        self.store_vectors(0, 0, 1, known_file=True)
        table = self.table()
        table.read_known_files(self.store)
        self.digests[0] = hashlib.sha256(b"new").digest()
        table.add(self.result(0, 2))
        self.assertEqual(table.count_missing(0), 2)
        self.store_vectors(0, 0, 1, known_file=False)
        table.read(self.store, [0])
        self.assertEqual(table.count_missing(0), 0)
        self.assertEqual(table.count_computed(), 1)

    def test_bottlenecks_that_were_computed_for_another_table_are_not_reused(self):
        self.store_vectors(0, 0, 1, 2, known_file=True)
        table = self.table()
        table.read_known_files(self.store)
        self.assertEqual(table.count_reused({(_RECIPES.distorted, self.digests[0], 1)}), 2)
        self.assertEqual(table.count_reused({(_RECIPES.undistorted, self.digests[0], 1)}), 3)

    def test_unreadable_images_have_a_reason_and_no_digest(self):
        self.store_vectors(0, 0, known_file=True)
        table = self.table()
        table.read_known_files(self.store)
        self.assertEqual(table.count_missing(), 8)
        table.mark_unreadable(0, "it is damaged")
        self.assertEqual(table.count_missing(), 6)
        self.assertEqual(table.unreadable, {self.images[0].path: "it is damaged"})
        self.assertEmpty(table.images_and_digests())

    def test_reads_more_images_than_a_query(self):
        self.images = [self.images[0]] * 2500
        self.store_vectors(0, 0, 1, 2, known_file=True)
        table = self.table()
        table.read_known_files(self.store)
        self.assertEmpty(table.incomplete_rows())
        np.testing.assert_array_equal(table.vectors[2499], _vectors(0, 1, 2))


if __name__ == "__main__":
    absltest.main()
