"""Real images get the accuracy that users were promised."""

import json
import os
import re
import shutil
import tempfile
import unittest
from pathlib import Path

from absl.testing import absltest

from tests.support import programs

_DATA = os.environ.get("RETRAIN_DATA")


@unittest.skipUnless(_DATA, "RETRAIN_DATA does not name a folder with heroes and signs")
class RealImagesTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = Path(_DATA)
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)

    def accuracy(self, name: str) -> tuple[float, Path]:
        flags = programs.outputs(self.folder / Path(name).name)[:-1]
        done = programs.run("retrain", f"--image_dir={self.data / name}", *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        (found,) = re.findall(r"^Final test accuracy = ([\d.]+)%", done.stdout, re.MULTILINE)
        return float(found), self.folder / Path(name).name / "graph.pb"

    def top_labels(self, graph: Path, images: list[Path], *flags: str) -> list[str]:
        done = programs.run("label_image", f"--graph={graph}", "--json", *flags, *images)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [answer["predictions"][0]["label"] for answer in json.loads(done.stdout)]

    def test_heroes(self):
        accuracy, graph = self.accuracy("heroes/train")
        self.assertGreaterEqual(accuracy, 95)
        images = sorted((self.data / "heroes/test").iterdir())
        labels = self.top_labels(graph, images)
        self.assertLen(labels, len(images))
        self.assertEqual(set(labels), {"darth vader", "elsa"})

    def test_signs(self):
        accuracy, graph = self.accuracy("signs")
        self.assertGreaterEqual(accuracy, 88)
        images = sorted(self.data.glob("signs/*/*"))[::20]
        ours = self.top_labels(graph, images)
        by_graph = self.top_labels(graph, images, "--input_layer=DecodeJpeg/contents:0")
        same = sum(a == b for a, b in zip(ours, by_graph, strict=True))
        self.assertGreaterEqual(same / len(images), 0.99)


if __name__ == "__main__":
    absltest.main()
