"""Tests that computed bottlenecks are written in time, and files only when they are settled."""

import hashlib
import time
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest

from retrain.bottlenecks import batch_writer
from retrain.bottlenecks.batch_writer import BatchWriter
from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.recipes import Recipes
from retrain.bottlenecks.store import open_store
from retrain.bottlenecks.vector_computer import ImageVectors

_RECIPES = Recipes("undistorted", "distorted")
_WIDTH = 4


def _result(name: str, *, changed_ns: int = 0) -> ImageVectors:
    """Returns the bottlenecks of an image and its variant 2."""
    return ImageVectors(
        row=0,
        version=FileVersion(1, ord(name), 3, changed_ns, changed_ns),
        digest=hashlib.sha256(name.encode()).digest(),
        numbers=[0, 2],
        vectors=np.array([[1] * _WIDTH, [2] * _WIDTH], np.float16),
    )


class BatchWriterTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.store = self.enter_context(open_store(Path(self.create_tempdir().full_path)))

    def stored(self, result: ImageVectors) -> list[bool]:
        """Returns whether variants 0 and 2 of the image are stored."""
        return [
            bool(self.store.stored_variants(recipe, _WIDTH).get(result.digest, 0) >> number & 1)
            for recipe, number in (("undistorted", 0), ("distorted", 2))
        ]

    def test_writes_at_the_end_of_the_block(self):
        a, b = _result("a"), _result("b")
        with BatchWriter(self.store) as writer:
            writer.add(_RECIPES, a)
            writer.add(_RECIPES, b)
            self.assertEqual(self.stored(a), [False, False])
        self.assertEqual((self.stored(a), self.stored(b)), ([True, True], [True, True]))
        self.assertEqual(self.store.get_digests([a.version, b.version]), [a.digest, b.digest])

    def test_writes_if_an_exception_ends_the_block(self):
        result = _result("a")
        with self.assertRaises(KeyError), BatchWriter(self.store) as writer:
            writer.add(_RECIPES, result)
            raise KeyError
        self.assertEqual(self.stored(result), [True, True])

    def test_writes_when_a_second_is_over(self):
        first, second, third = (_result(name) for name in "abc")
        with BatchWriter(self.store) as writer:
            writer.add(_RECIPES, first)
            later = time.monotonic() + 1.1
            with mock.patch.object(batch_writer.time, "monotonic", lambda: later):
                writer.add(_RECIPES, second)
                self.assertEqual((self.stored(first), self.stored(second)), ([True] * 2,) * 2)
                writer.add(_RECIPES, third)
            self.assertEqual(self.stored(third), [False, False])

    def test_a_file_that_has_just_changed_is_not_recognised_later(self):
        result = _result("a", changed_ns=time.time_ns())
        with BatchWriter(self.store) as writer:
            writer.add(_RECIPES, result)
        self.assertEqual(self.stored(result), [True, True])
        self.assertEqual(self.store.get_digests([result.version]), [None])


if __name__ == "__main__":
    absltest.main()
