"""The packages of the Docker image for serving suffice, and have the versions tested elsewhere."""

import dataclasses
import io
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pillow_heif
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.data import decoder_process
from retrain.data.decoder_process import Request
from retrain.data.image_limits import DEFAULT_LIMITS
from tests.support import programs
from tests.support.image_files import encode

_PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)

# Runs a program that can import only the packages listed in the first argument.
_WITH_ALLOWED_PACKAGES = """
import importlib.machinery, importlib.metadata, re, runpy, sys

allowed = set(sys.argv.pop(1).split(","))
packages = importlib.metadata.packages_distributions()

class AllowedFinder:
    def find_spec(self, name, path=None, target=None):
        owners = packages.get(name.partition(".")[0], [])
        names = {re.sub("[-_.]+", "-", owner).lower() for owner in owners}
        if names and not names & allowed:
            return None
        return importlib.machinery.PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = AllowedFinder()
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def _pins(file: str) -> dict[str, set[str]]:
    pins: dict[str, set[str]] = {}
    for name, version in _PINNED.findall(Path(file).read_text()):
        pins.setdefault(name, set()).add(version)
    return pins


class ServeImageTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.pins = _pins("docker/serve_requirements.txt")

    def python(self) -> list[str]:
        """Returns the beginning of a command that runs a file with only these packages."""
        return [sys.executable, "-c", _WITH_ALLOWED_PACKAGES, ",".join(self.pins)]

    def start(self, graph: Path) -> subprocess.Popen:
        command = programs.command("serve", f"--graph={graph}", "--port=0")
        started = subprocess.Popen(
            self.python() + command[1:],
            env=programs.environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert started.stderr
        self.addCleanup(started.stderr.close)
        self.addCleanup(started.wait)
        self.addCleanup(started.kill)
        return started

    def test_a_tflite_file_is_served(self):
        graph = self.folder / "classifier.tflite"
        shutil.copy("retrain/backbones/efficientnet_lite0.tflite", graph)
        with zipfile.ZipFile(graph, "a") as archive:
            archive.writestr("labels.txt", "".join(f"feature {i}\n" for i in range(1584)))
        server = self.start(graph)
        self.assertIn("does not state how pixels are normalised", server.stderr.readline())
        self.assertIn("does not state how familiar images are", server.stderr.readline())
        # The server labels an image before it logs this line.
        self.assertRegex(server.stderr.readline(), r"^Serving .*classifier.tflite")

    @parameterized.parameters("HEIF", "AVIF", "WEBP")
    def test_images_are_decoded_in_the_separate_process(self, file_format):
        pillow_heif.register_heif_opener()
        data = encode(Image.new("RGB", (8, 8), "red"), file_format, lossless=True)
        request = Request(height=8, width=8, preprocessing_version=2, resized=True)
        message = io.BytesIO()
        fields = {
            "request": dataclasses.asdict(request),
            "limits": dataclasses.asdict(DEFAULT_LIMITS),
        }
        decoder_process.write_message(message, fields, data)
        done = subprocess.run(
            [*self.python(), decoder_process.__file__],
            input=message.getvalue(),
            env=programs.environment(),
            capture_output=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        response, pixels = decoder_process.read_message(io.BytesIO(done.stdout))
        self.assertEqual(response["size"], [8, 8])
        self.assertGreater(pixels[0], 200)

    def test_a_frozen_graph_is_refused_with_one_line(self):
        graph = self.folder / "graph.pb"
        graph.write_bytes(b"\x0a\x03\x0a\x01a")
        server = self.start(graph)
        self.assertRegex(server.stderr.read(), r"^Error: --graph=.*use the \.tflite file.*\n$")
        self.assertEqual(server.wait(60), 1)

    def test_versions_are_the_same_as_in_requirements_lock(self):
        locked = _pins("requirements_lock.txt")
        self.assertContainsSubset({"flask", "h11", "prometheus-client"}, self.pins)
        for name in self.pins.keys() & locked.keys():
            self.assertContainsSubset(self.pins[name], locked[name], name)


if __name__ == "__main__":
    absltest.main()
