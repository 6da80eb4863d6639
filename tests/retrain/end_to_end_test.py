"""A run trains a classifier that every kind of program can use."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from tests.support import programs

_LABELS = ["blue", "green", "red"]


class EndToEndTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.images = programs.draw_colours(cls.folder / "pictures")
        cls.metrics = cls.folder / "metrics.json"
        cls.done = cls.train(f"--metrics_json={cls.metrics}", "--intermediate_store_frequency=100")

    @classmethod
    def train(cls, *flags: str, folder: Path | None = None, images: Path | None = None):
        folder = folder or cls.folder
        done = programs.run(
            "retrain",
            f"--image_dir={images or cls.images}",
            *programs.outputs(folder),
            f"--intermediate_output_graphs_dir={folder}/intermediate",
            *flags,
        )
        assert done.returncode == 0, done.stderr
        return done

    def session(self):
        import tensorflow as tf

        v1 = tf.compat.v1
        graph = v1.GraphDef.FromString((self.folder / "graph.pb").read_bytes())
        with tf.Graph().as_default():
            tf.import_graph_def(graph, name="")
            return v1.Session()

    def test_a_tensorflow_1_session_labels_encoded_files(self):
        with self.session() as session:
            for folder in programs.COLOURS:
                for path in (self.images / folder).iterdir():
                    feeds = {"DecodeJpeg/contents:0": path.read_bytes()}
                    (scores,) = session.run("final_result:0", feeds)
                    self.assertEqual(_LABELS[scores.argmax()], folder.lower())
                    self.assertAlmostEqual(scores.sum(), 1, places=5)

    @parameterized.parameters("input:0", "Mul:0", "Placeholder:0")
    def test_a_tensorflow_1_session_labels_pixels(self, tensor: str):
        colours = np.array(list(programs.COLOURS.values()), np.float32)
        pixels = np.broadcast_to(colours[:, None, None], (3, 224, 224, 3))
        with self.session() as session:
            scores = session.run("final_result:0", {tensor: (pixels - 127) / 128})
        self.assertEqual([_LABELS[i] for i in scores.argmax(1)], ["red", "green", "blue"])

    def test_the_labels_file_has_one_label_per_line(self):
        self.assertEqual((self.folder / "labels.txt").read_text(), "blue\ngreen\nred\n")

    def test_the_output_lists_the_files_and_the_next_command(self):
        lines = self.done.stdout.splitlines()
        self.assertRegex(lines[0], r"^Final test accuracy = 100\.0% \(N=\d+\)$")
        for name in ("graph.pb", "labels.txt", "metrics.json"):
            self.assertTrue(any(str(self.folder / name) in line for line in lines), name)
        self.assertStartsWith(
            lines[-1].strip(), f"bazel run //label_image -- --graph={self.folder}/graph.pb "
        )

    def test_the_metrics_file_has_the_metrics_of_the_run(self):
        metrics = json.loads(self.metrics.read_text())
        self.assertEqual(metrics["labels"], _LABELS)
        self.assertEqual(metrics["folders"], ["Blue", "Green", "Red"])
        self.assertEqual(metrics["test"]["accuracy"], 1)
        self.assertEqual(
            sum(metrics["pictures"][p] for p in ("training", "validation", "test")), 18
        )
        phases = {"scan", "bottlenecks", "training", "evaluation", "export"}
        self.assertContainsSubset(phases, metrics["seconds"])

    def test_label_image_prints_labels_in_the_format_of_2015(self):
        image = self.images / "Green/0.jpg"
        done = programs.run("label_image", f"--graph={self.folder}/graph.pb", image)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(
            done.stdout, r"^green \(score = 0\.\d{5}\)\n(\w+ \(score = 0\.\d{5}\)\n){2}$"
        )

    def test_intermediate_classifiers_can_be_used(self):
        written = sorted(path.name for path in (self.folder / "intermediate").iterdir())
        self.assertEqual(written, ["intermediate_100.pb", "intermediate_200.pb"])
        graph = self.folder / "intermediate" / written[0]
        done = programs.run("label_image", f"--graph={graph}", self.images / "Red/0.jpg")
        self.assertStartsWith(done.stdout, "red")

    def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(self):
        first = (self.folder / "graph.pb").read_bytes()
        again, other = (self.folder / name for name in ("again", "other"))
        shutil.copytree(self.folder / "cache", again / "cache")
        done = self.train(folder=again)
        self.assertIn("Bottlenecks: 0 computed, 18 from the cache.", done.stderr)
        self.assertEqual((again / "graph.pb").read_bytes(), first)
        self.train("--seed=1", folder=other)
        self.assertNotEqual((other / "graph.pb").read_bytes(), first)

    def test_logistic_regression_is_the_default_solver(self):
        folder = self.folder / "regression"
        flags = programs.outputs(folder)[:-1]
        done = programs.run("retrain", f"--image_dir={self.images}", *flags)
        self.assertIn("Logistic regression: train accuracy = 100.0%", done.stderr)
        self.assertNotIn("Step ", done.stderr)
        self.assertIn("Final test accuracy = 100.0%", done.stdout)
        first = (folder / "graph.pb").read_bytes()
        programs.run("retrain", f"--image_dir={self.images}", *flags)
        self.assertEqual((folder / "graph.pb").read_bytes(), first)
        self.assertLen(list((folder / "logs").glob("*/validation/events.out.tfevents.*")), 2)

    def test_int8_trains_a_second_head(self):
        folder = self.folder / "int8"
        images = programs.draw_colours(folder / "pictures", count=12)
        (images / "Red/empty.jpg").write_bytes(b"")
        flags = ("--engine=int8", f"--metrics_json={folder}/metrics.json")
        frequency = "--intermediate_store_frequency=100"
        done = self.train(*flags, frequency, folder=folder, images=images)
        heading = "Training a head on the features of engine "
        before, _, after = done.stderr.partition(f"{heading}int8.\n")
        int8_log, primary_heading, primary_log = after.partition(heading)
        self.assertNotIn("Bottlenecks: ", before)
        self.assertIn("Bottlenecks: 36 computed by int8, 0 from the cache.", int8_log)
        self.assertTrue(primary_heading)
        self.assertRegex(primary_log, r"^(bfloat16|float32)\.\nBottlenecks: 36 computed")
        self.assertEqual(done.stderr.count("empty.jpg, which cannot be read"), 1)
        self.assertIn("\nIn int8, with a head of its own: 100.0%.\n", done.stdout)
        metrics = json.loads((folder / "metrics.json").read_text())
        self.assertEqual(list(metrics["pictures"]["unreadable"]), [str(images / "Red/empty.jpg")])
        self.assertEqual(metrics["in_int8"]["test"]["accuracy"], 1)
        # A graph computes in floating point, so the graphs have the other head.
        self.assertEqual(done.stderr.count("Wrote the classifier after step 100"), 1)
        self.assertNotIn("Wrote the classifier", int8_log)
        self.assertLen(list((folder / "logs").glob("*-int8/validation/events.out.tfevents.*")), 1)
        self.assertLen(list((folder / "logs").glob("*/validation/events.out.tfevents.*")), 2)
        # A few more images do not change the quantised network and its features.
        more = programs.draw_colours(folder / "more", count=13)
        for colour in programs.COLOURS:
            shutil.copy(more / colour / "12.jpg", images / colour)
        again = self.train(*flags, folder=folder, images=images)
        self.assertIn("Bottlenecks: 3 computed by int8, 36 from the cache.", again.stderr)
        self.assertNotIn("Quantising", again.stderr)

    def test_distorted_images_and_weighted_classes(self):
        folder = self.folder / "distorted"
        file = folder / "metrics.json"
        flags = [
            *("--random_crop=10", "--random_scale=10", "--random_brightness=10"),
            *("--flip_left_right", "--class_weights=Red=3", f"--metrics_json={file}"),
        ]
        done = self.train(*flags, "--distortions_per_image=2", folder=folder)
        self.assertIn("Final test accuracy = 100.0%", done.stdout)
        metrics = json.loads(file.read_text())
        count = metrics["pictures"]["training"]
        self.assertRegex(done.stderr, f"Bottlenecks: {18 + 2 * count} computed by .*, 0 from the")
        self.assertEqual(metrics["training"]["class_weights"], "Red=3")
        self.assertEqual(metrics["training"]["distortions"]["per_image"], 2)
        self.assertEqual(metrics["training"]["distortions"]["random_scale"], 10)
        done = self.train(*flags, "--distortions_per_image=3", folder=folder)
        self.assertRegex(done.stderr, f"Bottlenecks: {count} computed .*, {18 + 2 * count} from")
        few = ("--how_many_training_steps=3", "--train_batch_size=10", "--learning_rate=1")
        done = self.train(*flags, *few, "--distortions_per_image=0", folder=folder)
        self.assertIn("Bottlenecks: 0 computed, 18 from the cache.", done.stderr)
        self.assertIn("Step 3 of 3: ", done.stderr)
        self.assertEqual(json.loads(file.read_text())["training"]["steps"], 3)

    def test_every_run_has_its_own_summaries(self):
        folder = self.folder / "twice"
        self.train(folder=folder)
        self.train(folder=folder)
        self.assertLen(list((folder / "logs").glob("*/train/events.out.tfevents.*")), 2)
        self.assertLen(list((folder / "logs").glob("*/validation/events.out.tfevents.*")), 2)

    def test_validation_and_test_images_in_folders_of_their_own(self):
        folder = self.folder / "apart"
        for split in ("validation", "test"):
            shutil.copytree(self.images, folder / split)
            for path in (folder / split).rglob("*.*g"):
                Image.open(path).rotate(180 if split == "test" else 90).save(path)
        done = self.train(
            f"--validation_dir={folder}/validation", f"--test_dir={folder}/test", folder=folder
        )
        self.assertIn("18 for training, 18 for validation, 18 for test.", done.stderr)
        self.assertIn("(N=18)", done.stdout)

    def test_paths_are_relative_to_the_folder_of_the_user(self):
        done = programs.run(
            "label_image",
            *("--graph=graph.pb", "--labels=labels.txt", "--output_layer=final_result:0"),
            f"--image={self.images.name}/Blue/1.png",
            env=programs.environment(BUILD_WORKING_DIRECTORY=str(self.folder)),
        )
        self.assertStartsWith(done.stdout, "blue (score = ")

    def test_misclassified_images_are_listed(self):
        folder = self.folder / "mistakes"
        wrong = programs.draw_colours(folder / "pictures")
        shutil.copytree(wrong, folder / "test")
        (folder / "test/Red/0.jpg").unlink()
        Image.new("RGB", (50, 50), programs.COLOURS["Blue"]).save(folder / "test/Red/wrong.png")
        done = self.train(
            f"--test_dir={folder}/test",
            "--print_misclassified_test_images",
            folder=folder,
            images=wrong,
        )
        heading = done.stdout.index("=== MISCLASSIFIED TEST IMAGES ===\n")
        self.assertRegex(done.stdout[heading:], r"test/Red/wrong\.png  blue")


if __name__ == "__main__":
    absltest.main()
