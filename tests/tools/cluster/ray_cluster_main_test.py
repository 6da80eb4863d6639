"""A real Ray cluster computes what one machine computes, whatever happens to its nodes."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from unittest import mock

from absl.testing import absltest

from retrain.system import optional_packages
from tests.support import programs, s3_server
from tests.support.ray_cluster import RayCluster
from tests.tools.cluster import shard_contents

_IMAGES_PER_CLASS = 80
_TIMEOUT = 300


class RayClusterTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.images = programs.draw_colours(cls.folder / "images", count=_IMAGES_PER_CLASS)
        cls.one_process = cls.folder / "one_process"
        result = programs.run(
            "cache_bottlenecks", f"--image_dir={cls.images}", f"--bottleneck_dir={cls.one_process}"
        )
        assert result.returncode == 0, result.stderr
        cls.cluster = RayCluster()
        cls.addClassCleanup(cls.cluster.stop)

    def setUp(self):
        super().setUp()
        self.output = self.folder / self._testMethodName

    def start(self, *, images: object = None, cwd: Path | None = None) -> subprocess.Popen:
        process = subprocess.Popen(
            programs.command(
                "cache_bottlenecks",
                f"--image_dir={images or self.images}",
                f"--bottleneck_dir={self.output}",
                f"--ray_address={self.cluster.address}",
                "--images_per_file=8",
            ),
            stderr=subprocess.PIPE,
            text=True,
            env=programs.environment(),
            cwd=cwd,
        )
        assert process.stderr
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        return process

    def wait_for_files(self, process: subprocess.Popen, count: int):
        deadline = time.monotonic() + _TIMEOUT
        while len(self.files()) < count:
            self.assertLess(time.monotonic(), deadline, "no bottlenecks were written")
            if process.poll() is not None:
                assert process.stderr
                self.fail(f"the program ended early: {process.stderr.read()}")
            time.sleep(0.05)

    def files(self) -> list[Path]:
        return sorted(self.output.glob("bottlenecks-*.parquet"))

    def finish(self, process: subprocess.Popen) -> str:
        _, messages = process.communicate(timeout=_TIMEOUT)
        self.assertEqual(process.returncode, 0, messages)
        return messages

    def assert_complete(self):
        expected = shard_contents.read(self.one_process)
        self.assertLen(expected, 3 * _IMAGES_PER_CLASS)
        self.assertEqual(shard_contents.read(self.output), expected)

    def test_a_node_joins_and_another_one_fails(self):
        first = self.cluster.add_node()
        process = self.start()
        self.wait_for_files(process, 3)
        second = self.cluster.add_node()
        self.addCleanup(self.cluster.kill_node, second)
        self.wait_for_files(process, 8)
        self.cluster.kill_node(first)
        self.finish(process)
        self.assert_complete()

    def test_a_run_whose_program_was_killed_continues(self):
        node = self.cluster.add_node(processors=2)
        self.addCleanup(self.cluster.kill_node, node)
        process = self.start()
        self.wait_for_files(process, 4)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        # Ray ends the actors of a program that has ended.
        time.sleep(5)
        before = {file: file.stat().st_mtime_ns for file in self.files()}
        known = len(shard_contents.read(self.output))
        self.assertLess(known, 3 * _IMAGES_PER_CLASS)
        messages = self.finish(self.start())
        self.assertIn(f"{3 * _IMAGES_PER_CLASS - known} computed", messages)
        self.assertIn(f"{known} from earlier runs", messages)
        self.assertEqual({file: file.stat().st_mtime_ns for file in before}, before)
        self.assert_complete()

    def test_a_node_with_another_version_is_refused(self):
        other = self.folder / "other_version"
        for room in ("retrain", "label_image", "tools"):
            shutil.copytree(room, other / room)
        with (other / "retrain/data/pixels.py").open("a") as file:
            file.write("# Another version.\n")
        node = self.cluster.add_node(PYTHONPATH=str(other))
        self.addCleanup(self.cluster.kill_node, node)
        # Ray adds the folder of the program to the paths of all nodes.
        process = self.start(cwd=self.folder)
        _, messages = process.communicate(timeout=_TIMEOUT)
        self.assertEqual(process.returncode, 1, messages)
        (error,) = [line for line in messages.splitlines() if line.startswith("Error: ")]
        self.assertIn("another version of this program", error)
        self.assertIn("retrain.data.pixels", error)
        self.assertEmpty(self.files())

    def test_a_bucket_and_a_folder_give_the_same_bottlenecks(self):
        if not s3_server.is_available():
            self.skipTest("the S3 server is not installed")
        server = s3_server.S3Server()
        self.addCleanup(server.stop)
        self.enter_context(mock.patch.dict(os.environ, server.environment))
        optional_packages.require("pyarrow", purpose="this test")
        from pyarrow import fs

        remote = fs.S3FileSystem(
            endpoint_override=server.environment["AWS_ENDPOINT_URL"], allow_bucket_creation=True
        )
        remote.create_dir("bucket")
        fs.copy_files(
            str(self.images),
            "bucket/images",
            source_filesystem=fs.LocalFileSystem(),
            destination_filesystem=remote,
        )
        node = self.cluster.add_node(processors=2, **server.environment)
        self.addCleanup(self.cluster.kill_node, node)
        self.output = "s3://bucket/out"
        self.finish(self.start(images="s3://bucket/images"))
        self.assert_complete()


if __name__ == "__main__":
    absltest.main()
