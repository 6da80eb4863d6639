"""cache_bottlenecks fills folders and buckets that trainings read."""

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

from absl.testing import absltest

from retrain.backbones import efficientnet_lite0, engines
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.config import SplitOptions
from retrain.data.dataset import scan_dataset
from retrain.shards.storage import Storage
from retrain.system import optional_packages
from tests.support import programs, s3_server
from tests.support.ray_cluster import free_port
from tests.tools.cluster import shard_contents

_COUNT = 12


def _run(images: object, output: object, *arguments: str, **environment: str):
    return programs.run(
        "cache_bottlenecks",
        f"--image_dir={images}",
        f"--bottleneck_dir={output}",
        *arguments,
        env=programs.environment(**environment),
    )


class _TestCase(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.root = Path(folder.name)
        cls.images = programs.draw_colours(cls.root / "images", count=_COUNT)
        cls.shards = cls.root / "shards"
        result = _run(cls.images, cls.shards)
        assert result.returncode == 0, result.stderr
        cls.messages = result.stderr

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def copy_of_shards(self) -> Path:
        return Path(shutil.copytree(self.shards, self.folder / "shards"))

    def train(self, shards: object, *arguments: str, **environment: str):
        return programs.run(
            "retrain",
            f"--image_dir={self.images}",
            f"--output_graph={self.folder}/graph.pb",
            f"--output_labels={self.folder}/labels.txt",
            "--summaries_dir=",
            f"--bottleneck_dir={shards}",
            *arguments,
            env=programs.environment(XDG_CACHE_HOME=str(self.folder / "cache"), **environment),
        )

    def assert_error(self, result, *parts: str):
        self.assertEqual(result.returncode, 1, result.stderr)
        errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        self.assertLen(errors, 1, result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        for part in parts:
            self.assertIn(part, errors[0])


class CacheBottlenecksTest(_TestCase):
    def test_vectors_are_those_of_a_training(self):
        dataset = scan_dataset(self.images, SplitOptions())
        features = compute_bottlenecks(
            dataset, efficientnet_lite0.load(), engines.FLOAT32, self.folder / "cache"
        )
        expected = {
            image.path.relative_to(self.images).as_posix(): vector.tobytes()
            for split in features.splits.values()
            for image, vector in zip(split.images, split.vectors, strict=True)
        }
        found = {name: row[2] for name, row in shard_contents.read(self.shards).items()}
        self.assertEqual(found, expected)
        self.assertLen(found, 3 * _COUNT)

    def test_a_training_computes_nothing(self):
        result = self.train(self.copy_of_shards())
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"Bottlenecks: 0 computed, {3 * _COUNT} from the cache.", result.stderr)
        self.assertIn("engine float32", result.stderr)

    def test_a_training_recognizes_images_with_other_times_by_their_content(self):
        images = Path(
            shutil.copytree(self.images, self.folder / "images", copy_function=shutil.copy)
        )
        result = self.train(self.copy_of_shards(), f"--image_dir={images}")
        self.assertIn(f"Bottlenecks: 0 computed, {3 * _COUNT} from the cache.", result.stderr)

    def test_a_second_run_computes_only_what_is_missing(self):
        images = Path(shutil.copytree(self.images, self.folder / "images"))
        shards = self.copy_of_shards()
        before = shard_contents.read(shards)
        shutil.copy(images / "Red/0.jpg", images / "Red/new.jpg")
        result = _run(images, shards)
        self.assertRegex(result.stderr, f"1 computed in .*, {3 * _COUNT} from earlier runs")
        after = shard_contents.read(shards)
        self.assertEqual(after.pop("Red/new.jpg"), before["Red/0.jpg"])
        self.assertEqual(after, before)

    def test_corrupt_images_are_listed_and_not_tried_again(self):
        images = Path(shutil.copytree(self.images, self.folder / "images"))
        bad = images / "Red/bad.jpg"
        bad.write_bytes(b"\xff\xd8\xff no image")
        first = _run(images, self.folder / "out")
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertIn("Red/bad.jpg", first.stderr)
        (listed,) = (self.folder / "out").glob("_unreadable-*.jsonl")
        entry = json.loads(listed.read_text())
        self.assertEqual(entry["name"], "Red/bad.jpg")
        self.assertTrue(entry["reason"])
        second = _run(images, self.folder / "out")
        self.assertRegex(second.stderr, f"0 computed in .*, {3 * _COUNT + 1} from earlier runs")
        self.assertNotIn("bad.jpg", second.stderr)
        shutil.copy(images / "Blue/1.png", bad)
        third = _run(images, self.folder / "out")
        self.assertIn("1 computed", third.stderr)

    def test_an_image_that_cannot_be_opened_is_tried_again(self):
        images = Path(shutil.copytree(self.images, self.folder / "images"))
        # Larger than the limit, but without content on the disk.
        with (images / "Red/huge.jpg").open("wb") as file:
            file.truncate(10**10)
        for _ in range(2):
            result = _run(images, self.folder / "out")
            self.assertEqual(result.returncode, 1)
            self.assertIn("Red/huge.jpg, which cannot be read", result.stderr)
        self.assertEmpty(list((self.folder / "out").glob("_unreadable-*")))

    def test_a_half_written_shard_does_not_count(self):
        shards = self.copy_of_shards()
        damaged = sorted(shards.glob("*.parquet"))[0]
        content = damaged.read_bytes()
        damaged.write_bytes(content[: len(content) // 2])
        self.assert_error(self.train(shards), damaged.name, "not a complete shard", "delete it")
        result = _run(self.images, shards)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"{damaged.name} is not a complete shard", result.stderr)
        self.assertNotIn(" 0 computed", result.stderr)

    def test_a_damaged_vector_is_noticed(self):
        shards = self.copy_of_shards()
        damaged = sorted(shards.glob("*.parquet"))[0]
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
        self.assert_error(self.train(shards), damaged.name, "not a complete shard")

    def test_gradient_descent_uses_the_first_features(self):
        result = self.train(self.copy_of_shards(), "--solver=sgd")
        self.assertIn(f"Bottlenecks: 0 computed, {3 * _COUNT} from the cache.", result.stderr)

    def test_shards_of_another_backbone_are_refused(self):
        shards = self.copy_of_shards()
        other = self.train(shards, "--architecture=efficientnet_lite0", "--input_size=256")
        self.assert_error(other, str(shards), "other weights")
        self.assert_error(self.train(shards, "--engine=tensorflow"), "engine float32")
        self.assert_error(
            _run(self.images, shards, "--engine=tensorflow"), "engine float32, not of engine tensor"
        )

    def test_engines_that_depend_on_machine_or_images_are_refused(self):
        self.assert_error(_run(self.images, self.folder, "--engine=int8"), "--engine=int8")

    def test_flags_are_required(self):
        self.assert_error(programs.run("cache_bottlenecks"), "--image_dir is required")

    def test_a_cluster_that_cannot_be_reached(self):
        start = time.monotonic()
        address = f"--ray_address=127.0.0.1:{free_port()}"
        self.assert_error(
            _run(self.images, self.folder / "out", address), address, "cannot be reach"
        )
        self.assertLess(time.monotonic() - start, 60)

    def test_another_server_is_no_cluster(self):
        server = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever).start()
        address = f"--ray_address=127.0.0.1:{server.server_port}"
        self.assert_error(_run(self.images, self.folder / "out", address), "is not Ray")

    def test_memory_is_not_shared_with_a_cluster(self):
        self.assert_error(
            _run("memory://images", self.folder / "out", "--ray_address=auto"), "memory://images"
        )

    def test_missing_packages_are_explained(self):
        code = (
            "import importlib.util as u; find = u.find_spec;"
            "u.find_spec = lambda n, *a: None if n == 'pyarrow' else find(n, *a);"
            "import sys, runpy; sys.argv[0] = sys.argv[1]; del sys.argv[1];"
            "runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        program, script, *rest = programs.command(
            "cache_bottlenecks", f"--image_dir={self.images}", f"--bottleneck_dir={self.folder}/o"
        )
        result = subprocess.run(
            [program, "-c", code, script, *rest],
            capture_output=True,
            text=True,
            env=programs.environment(),
        )
        self.assert_error(result, "pyarrow", "bazel build //tools:ray")


@absltest.skipUnless(s3_server.is_available(), "the S3 server is not installed")
class S3Test(_TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = s3_server.S3Server()
        cls.addClassCleanup(cls.server.stop)
        os.environ.update(cls.server.environment)
        optional_packages.require("pyarrow", purpose="this test")
        from pyarrow import fs

        remote = fs.S3FileSystem(
            endpoint_override=cls.server.environment["AWS_ENDPOINT_URL"],
            allow_bucket_creation=True,
        )
        remote.create_dir("bucket")
        fs.copy_files(
            str(cls.images),
            "bucket/images",
            source_filesystem=fs.LocalFileSystem(),
            destination_filesystem=remote,
        )
        cls.remote = remote

    def test_a_bucket_gives_the_same_bottlenecks(self):
        output = "s3://bucket/same"
        result = _run("s3://bucket/images", output)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(shard_contents.read(output), shard_contents.read(self.shards))
        again = _run("s3://bucket/images", output)
        self.assertRegex(again.stderr, f"0 computed in .*, {3 * _COUNT} from earlier runs")
        trained = self.train(output)
        self.assertEqual(trained.returncode, 0, trained.stderr)
        self.assertIn(f"Bottlenecks: 0 computed, {3 * _COUNT} from the cache.", trained.stderr)

    def test_a_bucket_that_does_not_exist(self):
        error = "the bucket does not exist"
        self.assert_error(_run("s3://none/images", self.folder / "out"), "s3://none/images", error)
        self.assert_error(_run(self.images, "s3://none/out"), "s3://none/out", error)

    def test_a_folder_without_images(self):
        self.assert_error(_run("s3://bucket/nothing", self.folder / "out"), "no sub-folder")

    def test_a_server_that_does_not_answer(self):
        endpoint = f"http://127.0.0.1:{free_port()}"
        result = _run("s3://bucket/images", self.folder / "out", AWS_ENDPOINT_URL=endpoint)
        self.assert_error(result, "s3://bucket/images", "cannot be reached")

    def test_a_corrupt_object_is_listed(self):
        with self.remote.open_output_stream("bucket/bad/Red/bad.jpg") as stream:
            stream.write(b"\xff\xd8\xff no image")
        result = _run("s3://bucket/bad", "s3://bucket/bad-out")
        self.assertEqual(result.returncode, 0, result.stderr)
        listed = Storage("s3://bucket/bad-out", "x").find("_unreadable-", ".jsonl")
        self.assertLen(listed, 1)


class UnsettledTest(absltest.TestCase):
    def test_images_that_were_just_written_are_not_computed_twice(self):
        folder = Path(self.create_tempdir().full_path)
        images = programs.draw_colours(folder / "images", count=3)
        for expected in ("9 computed", "0 computed"):
            self.assertIn(expected, _run(images, folder / "out").stderr)
        self.assertLen(shard_contents.read(folder / "out"), 9)


if __name__ == "__main__":
    absltest.main()
