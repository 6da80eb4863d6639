"""Images are listed, and those without results are found."""

from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.shards import unreadable_list
from retrain.shards.storage import Storage
from retrain.shards.unreadable_list import UndecodableImage
from retrain.system import optional_packages
from tools.cluster import missing
from tools.cluster.task import chunk_name


def setUpModule():
    optional_packages.require("pyarrow", purpose="this test")


def _table(*rows: tuple[str, int, str]):
    import pyarrow as pa

    names, sizes, times = zip(*rows, strict=True)
    return pa.table(
        {
            "name": list(names),
            "label": ["x"] * len(rows),
            "size": pa.array(sizes, pa.int64()),
            "modified": list(times),
        }
    )


def _images():
    return _table(("a", 1, "1"), ("b", 2, "2"), ("c", 3, "3"), ("d", 4, "4"))


class MissingTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.output = Storage(self.create_tempdir().full_path, "results")

    def find(self, *done) -> list[str]:
        files = [str(number) for number in range(len(done))]
        found = missing.find_missing(_images(), self.output, files, lambda name: done[int(name)])
        self.assertEqual(found.column_names, _images().column_names)
        return found["name"].to_pylist()

    def test_nothing_is_done(self):
        self.assertEqual(self.find(), ["a", "b", "c", "d"])

    def test_images_with_results_are_done(self):
        done = _table(("c", 3, "3"), ("a", 1, "1")).select(["name", "size", "modified"])
        self.assertEqual(self.find(done, None), ["b", "d"])

    def test_changed_images_are_missing(self):
        done = _table(("a", 9, "1"), ("b", 2, "9"), ("c", 3, "3"))
        self.assertEqual(self.find(done.select(["name", "size", "modified"])), ["a", "b", "d"])

    def test_listed_images_are_not_tried_again_unless_they_change(self):
        unreadable_list.write(
            self.output,
            "1",
            [
                UndecodableImage("a", 1, "1", sha256="", reason="damaged"),
                UndecodableImage("b", 2, "old", sha256="", reason="damaged"),
            ],
        )
        self.output.write("_unreadable-2.jsonl", b"no json\n")
        self.assertEqual(self.find(), ["b", "c", "d"])

    def test_everything_is_done(self):
        self.assertEqual(self.find(_images().select(["name", "size", "modified"])), [])

    def test_chunks_have_all_images(self):
        parts = [part["name"].to_pylist() for part in missing.chunks(_images(), 3)]
        self.assertEqual(parts, [["a", "b", "c"], ["d"]])

    @parameterized.parameters(
        (10_000_000, 100, 2048, 2048), (5000, 2, 2048, 313), (10, 2, 2048, 64), (10, 2, 8, 8)
    )
    def test_chunk_sizes(self, count: int, workers: int, maximum: int, expected: int):
        self.assertEqual(missing.chunk_size(count, workers, maximum), expected)

    def test_names_of_chunks_depend_on_the_images_and_the_network(self):
        names = {
            chunk_name(_images(), "network"),
            chunk_name(_images(), "other"),
            chunk_name(_images().slice(0, 3), "network"),
            chunk_name(_table(("a", 1, "2"), *[(x, 1, "1") for x in "bcd"]), "network"),
        }
        self.assertLen(names, 4)
        self.assertEqual(chunk_name(_images(), "network"), chunk_name(_images(), "network"))


class ImageTableTest(absltest.TestCase):
    def test_memory_and_folder_have_the_same_classes(self):
        from tools.cluster import image_table

        folder = Path(self.create_tempdir().full_path)
        names = ["Red/1.jpg", "Red/inner/2.PNG", "Blue/3.webp"]
        ignored = ["Red/notes.txt", "Red/.hidden.jpg", ".git/x.jpg", "Red/@eaDir/thumb.jpg"]
        local, memory = Storage(str(folder), "image_dir"), Storage("memory://data", "image_dir")
        for storage in (local, memory):
            for name in (*names, *ignored, "loose.jpg"):
                if storage is memory:
                    storage._file_system.handler.fs.pipe_file(f"/data/{name}", b"1")
                else:
                    storage.write(name, b"1")
            table = image_table.list_classes(storage)
            self.assertEqual(table["name"].to_pylist(), sorted(names))
            self.assertEqual(table["label"].to_pylist(), ["blue", "red", "red"])
        self.assertEqual(
            image_table.list_images(memory)["name"].to_pylist(), sorted([*names, "loose.jpg"])
        )


if __name__ == "__main__":
    absltest.main()
