"""heatmap draws all images of a folder, and loses and replaces nothing of the user's."""

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from absl.testing import absltest
from PIL import Image

from label_image.heat_map_files import is_heat_map_file
from retrain.export import frozen_graph
from tests.support import programs, sample_classifier, small_keras


class HeatmapMainTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        cls.graph = cls.shared / "graph.pb"
        frozen_graph.write(cls.graph, sample_classifier.classifier())

    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.source = programs.draw_colours(self.folder / "source", count=2)
        self.target = self.folder / "target"

    def draw(self, *flags: object, graph: Path | None = None) -> subprocess.CompletedProcess:
        graph_flag = f"--graph={graph or self.graph}"
        return programs.run("heatmap", graph_flag, *flags, self.source, self.target)

    def names(self) -> list[str]:
        files = (path for path in self.target.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.target).as_posix() for path in files)

    def assert_one_line(self, done: subprocess.CompletedProcess, *parts: str) -> None:
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertRegex(done.stderr, r"\AError: .*\n\Z")
        for part in parts:
            self.assertIn(part, done.stderr)

    def test_the_target_gets_the_folders_of_the_source(self):
        done = self.draw("--recursive")
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assertIn(f"Wrote the heat maps of 6 images to {self.target}", done.stderr)
        expected = [f"{c}/{n}.png" for c in ("Blue", "Green", "Red") for n in ("0.jpg", "1.png")]
        self.assertEqual(self.names(), expected)
        self.assertTrue(all(is_heat_map_file(self.target / name) for name in expected))
        # Heat maps in the source are not images to draw, and earlier ones are replaced.
        self.assertEqual(self.draw("--recursive").returncode, 0)
        self.assertEqual(self.names(), expected)

    def test_several_labels_are_part_of_the_names(self):
        self.source /= "Red"
        self.assertEqual(self.draw("--top=2").returncode, 0)
        self.assertLen(self.names(), 4)
        ends = {name.removeprefix("0.jpg-").removeprefix("1.png-") for name in self.names()}
        self.assertContainsSubset(ends, {"red.png", "grün.png", "blue sky.png"})

    def test_a_target_in_the_source_is_not_searched(self):
        self.target = self.source / "maps"
        for _ in range(2):
            self.assertEqual(self.draw("--recursive").returncode, 0)
        self.assertLen(self.names(), 6)

    def test_unreadable_images_are_named_and_the_others_drawn(self):
        self.source /= "Red"
        (self.source / "bad.jpg").write_text("hello")
        done = self.draw("--label=grün")
        self.assertEqual(done.returncode, 1)
        self.assertIn("bad.jpg cannot be read: it is not a JPEG", done.stderr)
        self.assertEqual(self.names(), ["0.jpg.png", "1.png.png"])

    def test_a_folder_with_other_files_is_refused(self):
        self.target.mkdir()
        Image.new("RGB", (8, 8)).save(self.target / "0.jpg.png")
        before = (self.target / "0.jpg.png").read_bytes()
        self.assert_one_line(self.draw("--recursive"), "already contains other files", "0.jpg.png")
        self.assertEqual((self.target / "0.jpg.png").read_bytes(), before)

    def test_links_do_not_lead_out_of_the_target(self):
        other = self.folder / "other"
        other.mkdir()
        self.target.mkdir()
        (self.target / "Red").symlink_to(other)
        self.assert_one_line(self.draw("--recursive"), "already contains other files", "Red")
        self.assertEmpty(list(other.iterdir()))

    def test_bad_arguments_are_refused(self):
        self.assert_one_line(self.draw("--label=pink", "--recursive"), "red, grün, blue sky")
        self.assert_one_line(self.draw("--label=red", "--top=2"), "cannot be combined")
        self.assert_one_line(self.draw(), "contains no images", "--recursive")
        self.assert_one_line(programs.run("heatmap", self.source), "expected two folders")
        self.target.write_text("a file")
        self.assert_one_line(self.draw("--recursive"), "is a file; choose a folder")
        self.target = self.source
        self.assert_one_line(self.draw("--recursive"), "is also the folder of the images")
        self.source = self.folder / "nothing"
        self.assert_one_line(self.draw(), "nothing does not exist")

    def test_a_network_that_pools_otherwise_is_refused(self):
        graph, labels = self.folder / "flat.pb", self.folder / "labels.txt"
        small_keras.write_frozen_graph(graph, small_keras.build_model())
        labels.write_text("a\nb\nc\n")
        done = self.draw("--recursive", f"--labels={labels}", graph=graph)
        self.assert_one_line(done, "heat maps cannot be drawn", "MaxPool")
        self.assertFalse(self.target.exists())

    def test_an_interrupted_run_leaves_only_complete_heat_maps(self):
        for number in range(300):
            shutil.copy(self.source / "Red/0.jpg", self.source / f"{number:03}.jpg")
        command = programs.command("heatmap", f"--graph={self.graph}", self.source, self.target)
        process = subprocess.Popen(
            command, env=programs.environment(), stderr=subprocess.PIPE, text=True
        )
        while not self.target.exists() or len(self.names()) < 3:
            self.assertIsNone(process.poll(), "the run ended early")
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.assertRegex(log, r"\A.*interrupted; the heat maps that were written are complete\n\Z")
        self.assertLess(len(self.names()), 300)
        self.assertTrue(all(is_heat_map_file(self.target / name) for name in self.names()))


if __name__ == "__main__":
    absltest.main()
