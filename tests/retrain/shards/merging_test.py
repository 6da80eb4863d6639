"""Bottlenecks in shards are copied to the cache, and damage is noticed."""

import json
import os
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.bottlenecks import traits_cache
from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.store import open_store
from retrain.bottlenecks.traits_cache import get_traits
from retrain.data.image_traits import TRAITS
from retrain.errors import UserError
from retrain.shards import merging, shard_files
from retrain.shards.schema import FormatError, ShardDescription
from retrain.shards.storage import Storage

_WIDTH = 6


def _description(**changes: object) -> ShardDescription:
    recipe = {"backbone": "b", "precision": "float32", "preprocessing": 1, **changes}
    return ShardDescription(json.dumps(recipe, sort_keys=True), "net", _WIDTH)


def _key(number: int) -> bytes:
    return bytes([number]) * 32


class MergingTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.storage = Storage(str(self.folder / "shards"), "bottleneck_dir")
        rng = np.random.default_rng(0)
        self.vectors = rng.normal(size=(4, _WIDTH)).astype(np.float16)
        self.traits = np.frombuffer(rng.bytes(4 * TRAITS.itemsize), TRAITS)

    def write(self, name: str, rows: list[int], *, modified: str = "5", **changes: object):
        import pyarrow as pa

        images = pa.table(
            {
                "name": [f"a/{row}.jpg" for row in rows],
                "label": ["a"] * len(rows),
                "size": [1] * len(rows),
                "modified": [modified] * len(rows),
            }
        )
        content = shard_files.encode_shard(
            _description(**changes),
            images,
            keys=[_key(row) for row in rows],
            vectors=self.vectors[rows],
            traits=self.traits[rows],
        )
        self.storage.write(f"bottlenecks-{name}.parquet", content)

    def merge(self, wanted: ShardDescription | None = None, **paths: Path) -> int:
        return merging.merge_shards(
            self.storage,
            wanted or _description(),
            found=_description(),
            paths={f"a/{name}.jpg": [path] for name, path in paths.items()},
            cache_dir=self.folder / "cache",
        )

    def stored(self, wanted: ShardDescription, rows: list[int]) -> np.ndarray:
        out = np.zeros((len(rows), wanted.feature_width), np.float16)
        with open_store(self.folder / "cache") as store:
            found = store.get_vectors(wanted.recipe, [(_key(row), 0) for row in rows], out)
        self.assertTrue(found.all())
        return out

    def test_vectors_are_copied_bit_for_bit_and_once(self):
        self.write("1", [0, 1])
        self.write("2", [2, 3])
        self.assertEqual(self.merge(), 4)
        stored = self.stored(_description(), [0, 1, 2, 3])
        self.assertEqual(stored.tobytes(), self.vectors.tobytes())
        self.assertEqual(self.merge(), 0)

    def test_traits_are_copied(self):
        self.write("1", [0, 1, 2, 3])
        self.merge()
        with open_store(self.folder / "cache") as store:
            paths = {_key(row): self.folder / "none" for row in range(4)}
            self.assertEqual(get_traits(store, paths).tobytes(), self.traits.tobytes())

    def test_traits_of_another_version_are_not_copied(self):
        with absltest.mock.patch.object(traits_cache, "RECIPE", "another"):
            self.write("1", [0])
        self.assertEqual(self.merge(), 1)
        with open_store(self.folder / "cache") as store:
            found = get_traits(store, {_key(0): self.folder / "none"})
        self.assertEqual(found.tobytes(), bytes(TRAITS.itemsize))

    def test_equal_images_count_once(self):
        self.write("1", [0, 0, 1])
        self.write("2", [1])
        self.assertEqual(self.merge(), 2)

    def test_the_first_features_can_be_copied(self):
        self.write("1", [0, 1])
        short = ShardDescription("{}", "net", 4)
        self.assertEqual(self.merge(short), 2)
        np.testing.assert_array_equal(self.stored(short, [0, 1]), self.vectors[:2, :4])

    def test_files_are_recognized_by_size_and_time(self):
        same, other = self.folder / "same.jpg", self.folder / "other.jpg"
        for path, time in ((same, 7), (other, 8)):
            path.write_bytes(b"x")
            os.utime(path, ns=(time, time))
        self.write("1", [0, 1], modified="7")
        self.merge(**{"0": same, "1": other})
        with open_store(self.folder / "cache") as store:
            versions = [FileVersion.from_stat(path.stat()) for path in (same, other)]
            self.assertEqual(store.get_digests(versions), [_key(0), None])

    def test_a_folder_with_two_kinds_of_bottlenecks(self):
        self.write("1", [0])
        self.write("2", [1], backbone="another")
        with self.assertRaisesRegex(UserError, "has bottlenecks of other weights"):
            self.merge()

    def test_numbers_that_are_not_finite(self):
        self.vectors[1, 2] = np.inf
        self.write("1", [0, 1])
        with self.assertRaisesRegex(UserError, "not a complete shard .*not finite.*; delete it"):
            self.merge()

    def test_another_parquet_file_is_no_shard(self):
        import pyarrow as pa
        from pyarrow import parquet

        self.write("1", [0])
        path = self.folder / "shards/bottlenecks-0.parquet"
        parquet.write_table(pa.table({"x": [1]}), path)
        with self.assertRaisesRegex(FormatError, "no bottlenecks of retrain"):
            shard_files.read_description(self.storage, path.name)

    def test_every_truncation_is_noticed(self):
        self.write("1", [0, 1, 2])
        path = self.folder / "shards/bottlenecks-1.parquet"
        content = path.read_bytes()
        for length in (0, 1, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:length])
            with self.assertRaises(FormatError):
                shard_files.read_description(self.storage, path.name)

    def test_descriptions_survive_a_file(self):
        self.write("1", [0])
        found = shard_files.read_description(self.storage, "bottlenecks-1.parquet")
        self.assertEqual(found, _description())
        self.assertEqual(found.engine, "float32")

    def test_other_programs_read_the_vectors(self):
        from pyarrow import parquet

        self.write("1", [2, 3])
        table = parquet.read_table(self.folder / "shards")
        self.assertEqual(table["vector"].to_pylist(), self.vectors[2:4].tolist())
        self.assertEqual(table["key"].to_pylist(), [_key(2), _key(3)])
        self.assertEqual(table.schema.metadata[b"retrain_engine"], b"float32")


if __name__ == "__main__":
    absltest.main()
