"""Tests that bottlenecks are read, computed and stored, also if a run is interrupted."""

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest
from PIL import Image

from retrain.backbones.engines import Engine
from retrain.bottlenecks.missing_vectors import compute_missing
from retrain.bottlenecks.store import FILE_NAME, open_store
from retrain.bottlenecks.vector_table import VectorTable
from retrain.data.dataset import ImageFile
from retrain.data.splits import TRAINING
from retrain.errors import UserError
from retrain.runtimes.runtime import Outputs, Runtime
from retrain.training_options import NO_DISTORTIONS, DistortionOptions
from tests.support.mean_backbone import MEAN_BACKBONE


class _MeanNetwork(Runtime):
    """Returns the mean of each channel. Calls `before` with the number of each batch."""

    def __init__(self, before: Callable[[int], None], batch_size: int) -> None:
        self.batch_size = batch_size
        self.batch_sizes: list[int] = []
        self._before = before

    @property
    def workers(self) -> int:
        return 1

    def predict(self, pixels: np.ndarray) -> Outputs:
        self._before(len(self.batch_sizes))
        self.batch_sizes.append(len(pixels))
        return Outputs(pixels.mean(axis=(1, 2), dtype=np.float32))

    def close(self) -> None: ...


class ComputeMissingTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.cache = self.folder / "cache"
        self.images = [self.create_image(f"{number}.png", number) for number in range(5)]

    def create_image(self, name: str, level: int) -> ImageFile:
        path = self.folder / name
        Image.new("RGB", (20, 10), (level, 2 * level, 3 * level)).save(path)
        return ImageFile(path, 0, TRAINING, 50.0)

    def compute(
        self,
        *,
        per_image: int = 0,
        batch_size: int = 1,
        before: Callable[[int], None] = lambda _: None,
        strict: bool = False,
    ) -> VectorTable:
        self.network = _MeanNetwork(before, batch_size)
        engine = Engine("float32", {"backbone": "mean"}, lambda: self.network)
        options = DistortionOptions(flip_left_right=per_image > 0, per_image=per_image)
        with open_store(self.cache) as store:
            table = VectorTable(self.images, engine, options, feature_width=3, folder=self.cache)
            table.read_known_files(store)
            compute_missing([table], MEAN_BACKBONE, store, strict=strict)
        return table

    def expected(self) -> np.ndarray:
        levels = np.arange(len(self.images), dtype=np.float16)
        return levels[:, np.newaxis] * np.array([1, 2, 3], np.float16)

    def test_computes_all_and_then_reads_all(self):
        for computed in (5, 0):
            table = self.compute(batch_size=2)
            np.testing.assert_array_equal(table.vectors[:, 0], self.expected())
            self.assertEqual(
                (table.count_computed(), sum(self.network.batch_sizes)), (computed, computed)
            )
            self.assertEqual(table.count_reused(set()), 5 - computed)

    def test_computes_only_missing_variants(self):
        self.compute()
        table = self.compute(per_image=2, batch_size=4)
        self.assertEqual(table.count_computed(), 10)
        # The mean does not change when an image is mirrored.
        for number in range(3):
            np.testing.assert_array_equal(table.vectors[:, number], self.expected())

    def test_variants_of_several_images_fill_the_batches_of_the_network(self):
        for per_image, expected in ((0, [4, 1]), (2, [4, 4, 4, 3]), (3, [4, 4, 4, 4, 4])):
            self.cache = self.folder / f"cache{per_image}"
            self.compute(per_image=per_image, batch_size=4)
            self.assertEqual(self.network.batch_sizes, expected)

    def test_several_tables_are_filled_in_one_go(self):
        """Checks that the images of each table are run by its engine, if any are missing."""
        self.compute()
        loaded = []

        def engine(name: str) -> Engine:
            def load() -> Runtime:
                loaded.append(name)
                return _MeanNetwork(lambda _: None, batch_size=2)

            return Engine("float32", {"backbone": name}, load)

        with open_store(self.cache) as store:
            parts = {"first": self.images[:3], "mean": self.images, "second": self.images[3:]}
            tables = [
                VectorTable(
                    images, engine(name), NO_DISTORTIONS, feature_width=3, folder=self.cache
                )
                for name, images in parts.items()
            ]
            for table in tables:
                table.read_known_files(store)
            # The files are too new to be recognised, but their bottlenecks are in the store.
            compute_missing(tables, MEAN_BACKBONE, store, strict=True)
        self.assertEqual([table.count_computed() for table in tables], [3, 0, 2])
        for table in tables:
            self.assertEqual(table.count_missing(), 0)
            rows = [self.images.index(image) for image in table.images]
            np.testing.assert_array_equal(table.vectors[:, 0], self.expected()[rows])
        self.assertEqual(list(dict.fromkeys(loaded)), ["first", "mean", "second"])

    def test_warns_once_of_images_that_are_nearly_black(self):
        for number in range(2):
            path = self.folder / f"dark{number}.png"
            Image.fromarray(np.full((10, 20), 4000 + number, np.uint16)).save(path)
            self.images.append(ImageFile(path, 0, TRAINING, 50.0))
        with self.assertLogs(level="WARNING") as logs:
            self.compute(batch_size=2)
        (warning,) = logs.output
        self.assertIn(f"{self.folder / 'dark0.png'} and 1 more: nearly black, because", warning)

    def test_bottlenecks_before_an_error_are_stored(self):
        def fail(batch: int) -> None:
            if batch == 3:
                raise UserError("out of order")

        with self.assertRaisesRegex(UserError, "out of order"):
            self.compute(before=fail)
        self.assertEqual(self.compute().count_computed(), 2)

    def test_bottlenecks_before_ctrl_c_are_stored(self):
        def interrupt(batch: int) -> None:
            if batch == 4:
                raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            self.compute(before=interrupt)
        self.assertEqual(self.compute().count_computed(), 1)

    def test_a_copy_of_a_stored_image_is_not_computed(self):
        self.compute()
        copy = self.folder / "copy.png"
        shutil.copy(self.images[4].path, copy)
        self.images.append(ImageFile(copy, 0, TRAINING, 50.0))
        table = self.compute()
        self.assertEqual(table.count_computed(), 0)
        np.testing.assert_array_equal(table.vectors[5], table.vectors[4])

    def test_unreadable_images_are_skipped_with_a_warning(self):
        self.images[1].path.write_bytes(b"")
        self.images[3].path.unlink()
        with self.assertLogs() as logs:
            table = self.compute()
        self.assertEqual(
            table.unreadable,
            {
                self.images[1].path: "it is an empty file",
                self.images[3].path: "No such file or directory",
            },
        )
        self.assertEqual(
            [record.getMessage() for record in logs.records],
            [
                f"Skipped {path}, which cannot be read: {reason}."
                for path, reason in table.unreadable.items()
            ],
        )
        readable = [0, 2, 4]
        np.testing.assert_array_equal(table.vectors[readable, 0], self.expected()[readable])
        self.assertLen(table.images_and_digests(), 3)

    def test_an_unreadable_image_is_an_error_if_strict(self):
        self.images[1].path.write_bytes(b"")
        with self.assertRaisesRegex(
            UserError, "1.png cannot be read: it is an empty file; .* without --strict"
        ):
            self.compute(strict=True)

    def test_no_thread_uses_the_network_when_an_error_is_reported(self):
        self.images[0].path.write_bytes(b"")
        running: list[int] = []

        def run_slowly(batch: int) -> None:
            running.append(batch)
            time.sleep(0.1)
            running.remove(batch)

        with mock.patch.object(_MeanNetwork, "workers", 2):
            try:
                self.compute(before=run_slowly, strict=True)
            except UserError:
                self.assertEmpty(running)
            else:
                self.fail("an unreadable image is no error")

    def change_store_before_the_last_read(self, statement: str) -> np.ndarray:
        """Returns the vectors if another program changes the cache while they are computed."""
        self.compute()
        self.images.append(self.create_image("new.png", 5))

        def change(_: int) -> None:
            with contextlib.closing(sqlite3.connect(self.cache / FILE_NAME)) as raw:
                raw.execute(statement)
                raw.commit()

        # The new image is first, so that the cache has changed when the others are read from it.
        self.images.reverse()
        return self.compute(before=change).vectors[::-1, 0]

    def test_vectors_that_another_program_deletes_are_computed_again(self):
        vectors = self.change_store_before_the_last_read("DELETE FROM bottlenecks")
        np.testing.assert_array_equal(vectors, self.expected())

    def test_vectors_that_are_damaged_are_computed_again(self):
        vectors = self.change_store_before_the_last_read(
            "UPDATE bottlenecks SET vector = zeroblob(length(vector))"
        )
        np.testing.assert_array_equal(vectors, self.expected())


if __name__ == "__main__":
    absltest.main()
