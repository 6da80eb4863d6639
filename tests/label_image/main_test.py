"""Tests label_image as a program, with graphs of this program and of its predecessors."""

import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np
from absl import flags
from absl.testing import absltest, parameterized
from PIL import Image

from label_image import main
from label_image.classifier import Prediction
from retrain.data.pixels import UnreadableImageError
from tests.support import natural_images, old_graphs, programs


def _graph_without_metadata(path: Path) -> None:
    """Writes a graph in the form of TensorFlow's script, which finds the strongest channel."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        contents = v1.placeholder(tf.string, [], "DecodeJpeg/contents")
        decoded = tf.cast(tf.image.decode_jpeg(contents, channels=3), tf.float32)
        resized = v1.image.resize_bilinear(decoded[None], [299, 299]) / 255
        pixels = v1.placeholder_with_default(resized, [None, 299, 299, 3], "Mul")
        tf.nn.softmax(10 * tf.reduce_mean(pixels, [1, 2]), name="final_result")
        path.write_bytes(graph.as_graph_def().SerializeToString())


class LabelImageMainTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.images = programs.draw_colours(cls.folder / "images")
        cls.keras_file, cls.saved_model = cls.folder / "model.keras", cls.folder / "saved"
        cls.tflite_file = cls.folder / "model.tflite"
        done = programs.run(
            *("retrain", f"--image_dir={cls.images}", *programs.outputs(cls.folder)),
            *(f"--keras_file={cls.keras_file}", f"--saved_model_dir={cls.saved_model}"),
            f"--tflite_file={cls.tflite_file}",
        )
        assert done.returncode == 0, done.stderr
        cls.graph = cls.folder / "graph.pb"
        cls.photo = cls.folder / "photo.png"
        natural_images.draw(0).save(cls.photo)
        cls.old_graph = cls.folder / "old.pb"
        _graph_without_metadata(cls.old_graph)
        cls.channels = cls.folder / "channels.txt"
        cls.channels.write_text("red\ngreen\nblue\n")
        cls.red, cls.green = cls.images / "Red/0.jpg", cls.images / "Green/1.png"

    def label(self, *arguments: object, graph: Path | str | None = None):
        return programs.run("label_image", f"--graph={graph or self.graph}", *arguments)

    def assert_one_line(self, done, *parts: str) -> None:
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertRegex(done.stderr, r"\AError: .*\n\Z")
        for part in parts:
            self.assertIn(part, done.stderr)

    def test_several_images_are_labelled_under_their_names(self):
        done = self.label(self.red, self.green, "--num_top_predictions=1")
        self.assertRegex(
            done.stdout,
            rf"\A{self.red}:\nred \(score = .*\)\n\n{self.green}:\ngreen \(score = .*\)\n\n\Z",
        )

    def test_keras_files_and_saved_models_that_retrain_wrote_are_read(self):
        expected = json.loads(self.label(self.red, self.green, "--json").stdout)
        for path in (self.keras_file, self.saved_model, f"{self.saved_model}/"):
            done = self.label(self.red, self.green, "--json", graph=path)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for one, other in zip(expected, json.loads(done.stdout), strict=True):
                scores, others = (
                    {label["label"]: label["score"] for label in result["labels"]}
                    for result in (one, other)
                )
                self.assertEqual(list(scores), list(others))
                for label, score in scores.items():
                    self.assertAlmostEqual(score, others[label], places=4)

    def test_the_last_line_of_an_unknown_image_says_so(self):
        for graph in (self.graph, self.tflite_file, self.keras_file, self.saved_model):
            done = self.label(self.photo, self.red, "--num_top_predictions=1", graph=graph)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            score = r"\w+ \(score = [01]\.\d{5}\)\n"
            self.assertRegex(
                done.stdout,
                rf"\A{self.photo}:\n{score}none of these: familiarity 0\.\d{{5}}, below 0\.05\n\n"
                rf"{self.red}:\n{score}\n\Z",
            )

    def test_a_file_that_the_graph_decodes_is_unknown_too(self):
        done = self.label(self.photo, "--input_layer=DecodeJpeg/contents:0", "--json")
        (result,) = json.loads(done.stdout)
        self.assertIs(result["unknown"], True)

    def test_json_has_the_familiarity_and_a_flag_sets_the_limit(self):
        done = self.label(self.red, self.photo, "--json")
        known, unknown = json.loads(done.stdout)
        self.assertEqual((known["unknown"], unknown["unknown"]), (False, True))
        self.assertGreaterEqual(known["familiarity"], 0.05)
        self.assertLess(unknown["familiarity"], 0.05)
        for limit in (0, unknown["familiarity"] / 2):
            done = self.label(self.photo, "--json", f"--unknown_below={limit}")
            self.assertEqual(json.loads(done.stdout), [{**unknown, "unknown": False}])

    def test_a_graph_of_an_earlier_version_has_the_output_of_earlier_versions(self):
        graph = old_graphs.without_familiarity(self.folder / "without.pb", self.graph)
        self.assert_one_line(
            self.label(self.photo, "--unknown_below=0.1", graph=graph),
            "--unknown_below=0.1 needs a classifier that states how familiar",
        )
        done = self.label(self.photo, graph=graph)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertNotIn("none of these", done.stdout)
        (result,) = json.loads(self.label(self.photo, "--json", graph=graph).stdout)
        self.assertEqual(list(result), ["image", "labels", "predictions"])

    def test_heat_maps_are_written_next_to_the_same_output(self):
        plain = self.label(self.red)
        target = self.folder / "maps/red.png"
        done = self.label(self.red, f"--heatmap={target}")
        self.assertEqual((done.returncode, done.stdout), (0, plain.stdout), done.stderr)
        self.assertEqual(done.stderr, f"Wrote the heat map of red to {target}\n")
        best = target.read_bytes()
        with Image.open(target) as image:
            self.assertEqual(image.format, "PNG")
        self.label(self.red, f"--heatmap={target}", "--heatmap_label=blue")
        self.assertNotEqual(target.read_bytes(), best)

    def test_several_heat_maps_go_to_a_folder_and_unreadable_images_have_none(self):
        target = self.folder / "several"
        done = self.label(self.red, self.folder / "none.jpg", self.green, f"--heatmap={target}")
        self.assertEqual(done.returncode, 1)
        self.assertIn("none.jpg cannot be labelled", done.stderr)
        self.assertEqual(sorted(p.name for p in target.iterdir()), ["0.jpg.png", "1.png.png"])

    def test_an_image_whose_heat_map_cannot_be_drawn_does_not_stop_the_others(self):
        flags.FLAGS(["label_image"])
        results = [(name, Prediction(Path(name), (("a", 1.0),))) for name in ("bad.jpg", "b.jpg")]
        image = Image.new("RGB", (8, 8))
        target = self.folder / "drawn.png"
        with mock.patch("label_image.heat_map_images.HeatMapImages") as images:
            images.return_value.draw.side_effect = [UnreadableImageError("it is damaged"), [image]]
            drawn = main._draw_heat_maps(mock.Mock(), results, [self.folder / "bad.png", target])
            (_, bad), good = drawn
        self.assertEqual(bad.reason, "it has no heat map, as it is damaged")
        self.assertEqual(good, results[1])
        self.assertTrue(target.exists())
        self.assertFalse((self.folder / "bad.png").exists())

    def test_bad_flags_of_heat_maps_are_refused_before_anything_is_written(self):
        target = self.folder / "bad.png"
        self.assert_one_line(self.label(self.red, "--heatmap_label=red"), "needs --heatmap")
        done = self.label(self.red, f"--heatmap={target}", "--heatmap_label=pink")
        self.assert_one_line(done, "--heatmap_label=pink is not a label", "blue, green, red")
        done = self.label(self.red, self.green, f"--heatmap={target}")
        self.assert_one_line(done, "2 images; name a folder")
        done = self.label(self.green, f"--heatmap={self.green}")
        self.assert_one_line(done, "is the image itself")
        self.assertFalse(target.exists())

    def test_keras_files_of_other_programs_are_refused(self):
        path = self.folder / "other.keras"
        with zipfile.ZipFile(self.keras_file) as ours, zipfile.ZipFile(path, "w") as other:
            for name in ours.namelist():
                if not name.startswith("retrain_metadata"):
                    other.writestr(name, ours.read(name))
        done = self.label(self.red, graph=path)
        self.assert_one_line(done, f"--graph={path} ", "metadata that retrain adds", "//tools:conv")

    def test_json_has_an_object_per_image(self):
        done = self.label(self.red, self.folder / "none.jpg", "--json")
        first, second = json.loads(done.stdout)
        self.assertEqual(first["image"], str(self.red))
        self.assertEqual(first["labels"][0]["label"], "red")
        self.assertEqual(first["labels"], first["predictions"])
        self.assertAlmostEqual(sum(p["score"] for p in first["predictions"]), 1, places=4)
        self.assertIn("No such file", second["error"])
        self.assertEqual(done.returncode, 1)

    def test_unreadable_images_do_not_stop_the_others(self):
        empty = self.folder / "empty.jpg"
        empty.touch()
        done = self.label(empty, self.red, self.folder, self.folder / "none.png")
        self.assertEqual(done.returncode, 1)
        self.assertIn("red (score = ", done.stdout)
        self.assertEqual(done.stderr.count("Error: "), 3)
        self.assertIn(f"{empty} cannot be labelled: it is an empty file", done.stderr)

    def test_a_graph_without_metadata_runs_with_flags(self):
        done = self.label(f"--labels={self.channels}", self.red, self.green, graph=self.old_graph)
        self.assertRegex(done.stdout, r"(?s)0\.jpg:\nred .*1\.png:\ngreen ")
        input_flags = ["--input_layer=Mul", "--input_height=299", "--input_width=299"]
        done = self.label(
            *(f"--labels={self.channels}", "--output_layer=final_result", *input_flags),
            *("--input_mean=0", "--input_std=255", f"--image={self.green}"),
            graph=self.old_graph,
        )
        self.assertStartsWith(done.stdout, "green (score = ")

    def test_a_graph_without_metadata_needs_labels(self):
        self.assert_one_line(self.label(self.red, graph=self.old_graph), "--labels is needed")

    def test_another_number_of_labels_is_refused(self):
        two = self.folder / "two.txt"
        two.write_text("a\nb\n")
        for graph, part in (
            (self.graph, "different numbers of labels: 2 and 3"),
            (self.old_graph, "3 outputs, but there are 2 labels"),
        ):
            done = self.label(f"--labels={two}", self.red, graph=graph)
            self.assert_one_line(done, part)

    @parameterized.parameters(b"", b"text\n", b"\x00\xff" * 500, None)
    def test_other_files_are_refused(self, content: bytes | None):
        path = self.folder / "no_graph.pb"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        self.assert_one_line(self.label(self.red, graph=path), f"--graph={path}")

    def test_a_folder_and_a_cut_graph_are_refused(self):
        self.assert_one_line(self.label(self.red, graph=self.folder), f"--graph={self.folder}")
        cut = self.folder / "cut.pb"
        cut.write_bytes(self.graph.read_bytes()[:-1_000_000])
        self.assert_one_line(self.label(self.red, graph=cut), f"--graph={cut}")

    @parameterized.parameters(
        ([], "no image"),
        (["--image="], "the name of an image is empty"),
        (["--input_layer=x", "p.jpg"], "--input_layer=x"),
        (["--output_layer=x", "p.jpg"], "--output_layer=x"),
        (["--labels=/no/file", "p.jpg"], "--labels=/no/file"),
        (["--input_std=0", "p.jpg"], "--input_std=0"),
        (["--num_top_predictions=0", "p.jpg"], "num_top_predictions"),
        (["--unknown_below=2", "p.jpg"], "--unknown_below=2"),
        (["--unknown_below=nan", "p.jpg"], "--unknown_below=nan is not a number"),
        (["--grph=x", "p.jpg"], "grph"),
    )
    def test_wrong_flags_are_refused(self, arguments: list[str], part: str):
        self.assert_one_line(self.label(*arguments), part)

    def test_scores_match_those_of_the_graphs_own_decoder(self):
        done = self.label(self.red, "--json")
        by_bytes = self.label(self.red, "--json", "--input_layer=DecodeJpeg/contents:0")
        ours, theirs = (
            [p["score"] for p in json.loads(d.stdout)[0]["predictions"]] for d in (done, by_bytes)
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


if __name__ == "__main__":
    absltest.main()
