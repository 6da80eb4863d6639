"""label_many writes the labels of a folder, and continues."""

import json
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.shards.storage import Storage
from retrain.system import optional_packages
from tests.support import programs
from tools.cluster import label_files


class LabelManyTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.root)
        cls.images = programs.draw_colours(cls.root / "images")
        done = programs.run(
            "retrain",
            f"--image_dir={cls.images}",
            *programs.outputs(cls.root),
            f"--tflite_file={cls.root}/m.tflite",
        )
        assert done.returncode == 0, done.stderr

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.results = self.folder / "results"

    def label(self, *arguments: object, graph: str = "m.tflite"):
        return programs.run(
            "label_many",
            f"--graph={self.root / graph}",
            f"--image_dir={self.images}",
            f"--results={self.results}",
            *arguments,
        )

    def rows(self) -> dict[str, dict]:
        optional_packages.require("pyarrow", purpose="this test")
        from pyarrow import parquet

        rows = parquet.read_table(self.results).to_pylist()
        self.assertLen({row["name"] for row in rows}, len(rows))
        return {row["name"]: row for row in rows}

    def test_labels_are_those_of_label_image(self):
        self.assertEqual(self.label().returncode, 0)
        rows = self.rows()
        names = sorted(
            path.relative_to(self.images).as_posix() for path in self.images.rglob("*.*")
        )
        self.assertEqual(sorted(rows), names)
        single = programs.run(
            "label_image",
            f"--graph={self.root}/m.tflite",
            "--json",
            *[self.images / name for name in names],
        )
        for name, result in zip(names, json.loads(single.stdout), strict=True):
            expected = [(p["label"], p["score"]) for p in result["predictions"]]
            row = rows[name]
            self.assertEqual(row["labels"], [label for label, _ in expected])
            for found, (_, score) in zip(row["scores"], expected, strict=True):
                self.assertAlmostEqual(found, score, places=5)
            self.assertEqual((row["label"], row["score"]), (row["labels"][0], row["scores"][0]))
            self.assertEqual(row["familiarity"], result.get("familiarity"))
            self.assertEqual(row["is_unknown"], result.get("unknown", False))

    def test_a_second_run_labels_only_new_images(self):
        images = Path(shutil.copytree(self.images, self.folder / "images"))
        flag = f"--image_dir={images}"
        self.assertEqual(self.label(flag).returncode, 0)
        shutil.copy(images / "Red/0.jpg", images / "loose.jpg")
        (images / "bad.jpg").write_bytes(b"no image")
        result = self.label(flag)
        self.assertRegex(result.stderr, "1 computed in .*, 18 from earlier runs")
        self.assertIn("bad.jpg, which cannot be decoded", result.stderr)
        self.assertEqual(self.rows()["loose.jpg"]["label"], "red")
        self.assertNotIn("bad.jpg", self.rows())
        self.assertRegex(self.label(flag).stderr, "0 computed in .*, 20 from earlier runs")

    def test_only_the_best_labels_are_written(self):
        self.label("--num_top_predictions=1")
        self.assertTrue(all(len(row["labels"]) == 1 for row in self.rows().values()))

    def test_results_of_another_classifier_are_refused(self):
        self.assertEqual(self.label().returncode, 0)
        before = self.rows()
        result = self.label(graph="graph.pb")
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"--results={self.results} has labels of another classifier", result.stderr)
        self.assertEqual(self.rows(), before)

    def test_a_message_about_the_classifier_names_the_users_file(self):
        result = self.label("--fit=pad")
        self.assertEqual(result.returncode, 1)
        self.assertIn(
            f"Error: --fit=pad contradicts --graph={self.root}/m.tflite, which was", result.stderr
        )

    def test_a_half_written_file_does_not_count(self):
        self.label()
        (file,) = label_files.find(Storage(str(self.results), "results"))
        content = (self.results / file).read_bytes()
        (self.results / file).write_bytes(content[:-100])
        result = self.label()
        self.assertIn("18 computed", result.stderr)
        self.assertLen(self.rows(), 18)

    def test_a_folder_without_images(self):
        result = self.label(f"--image_dir={self.folder}")
        self.assertEqual(result.returncode, 1)
        self.assertIn("has no images", result.stderr)

    def test_a_saved_model_folder_cannot_be_sent(self):
        result = self.label(graph="images")
        self.assertEqual(result.returncode, 1)
        self.assertIn("is a folder", result.stderr)


if __name__ == "__main__":
    absltest.main()
