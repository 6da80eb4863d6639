"""Tests that tables follow the splits of a data set, which unreadable images can change."""

import gc
import weakref
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest
from PIL import Image

from retrain.backbones.engines import Engine
from retrain.bottlenecks import split_tables
from retrain.bottlenecks.split_tables import SplitTables
from retrain.bottlenecks.store import BottleneckStore, open_store
from retrain.bottlenecks.vector_table import VectorTable
from retrain.config import SplitOptions
from retrain.data.dataset import Dataset, scan_dataset
from retrain.data.splits import TRAINING
from retrain.runtimes.function_runtime import FunctionRuntime
from retrain.runtimes.runtime import Outputs
from retrain.training_options import NO_DISTORTIONS
from tests.support.mean_backbone import MEAN_BACKBONE


def _engine(name: str) -> Engine:
    def mean(pixels: np.ndarray) -> Outputs:
        return Outputs(pixels.mean(axis=(1, 2), dtype=np.float32))

    return Engine(name, {"precision": name}, lambda: FunctionRuntime(mean))


class SplitTablesTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        for number in range(40):
            folder = self.folder / "images" / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")

    def scan(self) -> Dataset:
        return scan_dataset(self.folder / "images", SplitOptions())

    def tables(self, store: BottleneckStore) -> SplitTables:
        return SplitTables(
            MEAN_BACKBONE,
            store,
            training_engine=_engine("bfloat16"),
            evaluation_engine=_engine("float32"),
            strict=False,
        )

    def test_the_engine_of_a_split_computes_its_images(self):
        with open_store(self.folder / "cache") as store:
            tables = self.tables(store)
            dataset = tables.fill(self.scan(), NO_DISTORTIONS)
            for split, table in tables.by_split.items():
                self.assertEqual(table.images, dataset.split(split))
                name = "bfloat16" if split == TRAINING else "float32"
                self.assertEqual(table.engine.name, name)
                levels = [int(image.path.stem) for image in table.images]
                np.testing.assert_array_equal(table.vectors[:, 0, 0], levels)
            self.assertEqual(tables.computed_count, 40)

    def test_vectors_are_freed_before_unreadable_images_make_new_ones_necessary(self):
        for path in (self.folder / "images/a").glob("1?.png"):
            path.write_bytes(b"nothing")
        created: list[weakref.ref[np.ndarray]] = []
        kept: list[int] = []

        def create(*arguments, **options) -> VectorTable:
            gc.collect()
            kept.append(sum(vectors() is not None for vectors in created))
            table = VectorTable(*arguments, **options)
            created.append(weakref.ref(table.vectors))
            return table

        with (
            open_store(self.folder / "cache") as store,
            mock.patch.object(split_tables, "VectorTable", create),
            self.assertLogs(level="WARNING"),
        ):
            self.tables(store).fill(self.scan(), NO_DISTORTIONS)
        self.assertEqual(kept, [0, 1, 2, 0, 1, 2])


if __name__ == "__main__":
    absltest.main()
