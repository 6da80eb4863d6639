"""Images are read once, in any order, and not if they changed since they were listed."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

from absl.testing import absltest, parameterized

from retrain.data.image_limits import DEFAULT_LIMITS
from retrain.shards.storage import Storage
from retrain.system import optional_packages
from tools.cluster import read_ahead
from tools.cluster.read_ahead import ImageReader


def setUpModule():
    optional_packages.require("pyarrow", purpose="this test")


class ImageReaderTest(parameterized.TestCase):
    def storage(self, kind: str, count: int = 20) -> Storage:
        url = self.create_tempdir().full_path if kind == "local" else f"memory://{self.id()}"
        storage = Storage(url, "image_dir")
        for number in range(count):
            storage.write(f"{number:02}.jpg", b"x" * number)
        return storage

    def table(self, storage: Storage, **changes: int):
        import pyarrow as pa

        if storage.is_local:
            # The version of a file that was just written is not known.
            old = time.time() - 10
            for file in storage.list_files():
                os.utime(storage.path(file.name), (old, old))
        files = sorted(storage.list_files())
        rows = [{**file._asdict(), "label": ""} for file in files]
        for row in rows:
            row["size"] = changes.get(row["name"].partition(".")[0], row["size"])
        return pa.Table.from_pylist(rows)

    @parameterized.parameters("local", "memory")
    def test_threads_read_all_images(self, kind: str):
        storage = self.storage(kind)
        with (
            absltest.mock.patch.object(read_ahead, "_MAX_IMAGES", 3),
            ImageReader(storage, self.table(storage)) as reader,
            ThreadPoolExecutor(4) as pool,
        ):
            self.assertEqual([len(data) for data in pool.map(reader.read, range(20))], [*range(20)])

    def test_an_image_that_changed_is_not_read(self):
        storage = self.storage("local")
        images = self.table(storage)
        storage.write("03.jpg", b"abc")
        with ImageReader(storage, images) as reader:
            self.assertEqual(reader.read(2), b"xx")
            with self.assertRaisesRegex(OSError, "changed during this run"):
                reader.read(3)

    def test_an_object_of_another_size_is_not_read(self):
        storage = self.storage("memory")
        images = self.table(storage)
        storage.write("03.jpg", b"abcd")
        with ImageReader(storage, images) as reader:
            with self.assertRaisesRegex(OSError, "changed during this run"):
                reader.read(3)
            self.assertEqual(reader.read(4), b"xxxx")

    def test_a_missing_object(self):
        storage = self.storage("memory")
        images = self.table(storage)
        storage._file_system.delete_file(storage._join("05.jpg"))
        with ImageReader(storage, images) as reader, self.assertRaises(FileNotFoundError):
            reader.read(5)

    def test_an_object_that_is_too_large(self):
        storage = self.storage("memory")
        images = self.table(storage, **{"05": DEFAULT_LIMITS.file_bytes + 1})
        with ImageReader(storage, images) as reader, self.assertRaisesRegex(OSError, "the limit"):
            reader.read(5)


if __name__ == "__main__":
    absltest.main()
