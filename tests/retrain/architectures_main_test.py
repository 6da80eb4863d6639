"""retrain runs with networks from every source."""

import re
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.runtimes.graph_session import GraphSession
from tests.support import keras_weights_files, old_graphs, programs, tiny_modules

_NAME = "mobilenet_0.25_128"
_SIDE = old_graphs.SIDE


class ArchitecturesTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.images = programs.draw_colours(cls.folder / "pictures", 8)
        cls.weights = keras_weights_files.write_legacy_weights(
            cls.folder / "weights.h5", keras_weights_files.build_model(_NAME)
        )
        cls.graphs = cls.folder / "inception"
        old_graphs.write(cls.graphs / "classify_image_graph_def.pb", old_graphs.inception())
        cls.module = tiny_modules.write(cls.folder / "module", (_SIDE, _SIDE))
        tiny_modules.write_tensorflow_1(cls.folder / "old_module")

    def retrain(self, folder, *flags):
        return programs.run(
            "retrain",
            f"--image_dir={self.images}",
            f"--output_graph={folder}/graph.pb",
            f"--output_labels={folder}/labels.txt",
            f"--bottleneck_dir={self.folder}/cache",
            "--summaries_dir=",
            *flags,
        )

    def trained(self, folder, *flags):
        found = self.retrain(folder, *flags)
        self.assertEqual(found.returncode, 0, found.stderr)
        return found.stdout + found.stderr

    def labelled(self, graph):
        """Returns the best label of the first image of each class."""
        images = [self.images / name / "0.jpg" for name in programs.COLOURS]
        found = programs.run("label_image", f"--graph={graph}", *images)
        self.assertEqual(found.returncode, 0, found.stderr)
        return re.findall(r":\n(\w+) \(score", found.stdout)

    def new_folder(self):
        return Path(self.create_tempdir().full_path)

    def test_a_keras_architecture(self):
        folder = self.new_folder()
        flags = (f"--architecture={_NAME}", f"--weights={self.weights}")
        log = self.trained(
            folder, *flags, f"--tflite_file={folder}/m.tflite", f"--keras_file={folder}/m.keras"
        )
        # A network with random weights does not generalise.
        self.assertIn("train accuracy = 100.0%", log)
        self.assertEqual(self.labelled(folder / "graph.pb"), self.labelled(folder / "m.tflite"))
        self.assertIn("0 computed", self.trained(folder, *flags))

    def test_the_inception_archive_of_2015_and_a_graph_retrained_from_it(self):
        folder = self.new_folder()
        size = (f"--input_height={_SIDE}", f"--input_width={_SIDE}")
        self.trained(folder, f"--model_dir={self.graphs}", *size)
        self.assertEqual(self.labelled(folder / "graph.pb"), ["red", "green", "blue"])
        again = self.new_folder()
        # As in a script of 2015.
        flags = (f"--model_dir={folder}", "--final_tensor_name=answers")
        self.trained(again, *flags)
        self.assertEqual(self.labelled(again / "graph.pb"), ["red", "green", "blue"])
        with GraphSession((again / "graph.pb").read_bytes()) as session:
            data = (self.images / "Green" / "0.jpg").read_bytes()
            old = session.run("pool_3/_reshape:0", {"DecodeJpeg/contents:0": data})
            new = session.run("bottleneck:0", {"DecodeJpeg/contents:0": data})
            self.assertEqual(session.run("answers:0", {"DecodeJpeg/contents:0": data}).argmax(), 1)
        self.assertEqual(old.tolist(), new.tolist())

    def test_a_tensorflow_hub_module(self):
        folder = self.new_folder()
        self.trained(folder, f"--tfhub_module={self.module}", f"--tflite_file={folder}/m.tflite")
        for file in ("graph.pb", "m.tflite"):
            self.assertEqual(self.labelled(folder / file), ["red", "green", "blue"])

    @parameterized.parameters(
        ("has the weights of mobilenet_0.25_", "--architecture=vgg16", "--weights={w}"),
        ("--weights={w} is for networks whose weights are downloaded", "--weights={w}"),
        ("efficientnet_lite0 needs no download", "--tfhub_module=http://127.0.0.1:1/m/1"),
        ("has the format of TensorFlow 1", "--tfhub_module={f}/old_module"),
        (
            "names a network, and so does --model_dir",
            "--tfhub_module={f}/module",
            "--model_dir={f}",
        ),
        ("--bottleneck_layer=pool_9 is not in", "--model_dir={g}", "--bottleneck_layer=pool_9"),
        ("not made of Keras layers", "--tfhub_module={f}/module", "--keras_file=/tmp/m.keras"),
        ("--input_mean=1,2 must be one number", "--model_dir={g}", "--input_mean=1,2"),
        ("--input_std=0 must be one number", "--model_dir={g}", "--input_std=0"),
        ("--input_std=nan must be one number", "--model_dir={g}", "--input_std=nan"),
        ("input_height", "--model_dir={g}", "--input_height=0"),
        ("--input_layer needs --model_dir", "--input_layer=Mul"),
    )
    def test_unusable_networks_are_refused_in_one_line(self, expected, *flags):
        folder = self.new_folder()
        (folder / "graph.pb").write_text("of an earlier run")
        names = {"w": self.weights, "f": self.folder, "g": self.graphs}
        found = self.retrain(folder, *(flag.format(**names) for flag in flags))
        self.assertEqual(found.returncode, 1, found.stderr)
        errors = [line for line in found.stderr.splitlines() if not line.startswith("Preparing")]
        self.assertLen(errors, 1)
        self.assertStartsWith(errors[0], "Error: ")
        self.assertIn(expected.format(**names), errors[0])
        self.assertEqual((folder / "graph.pb").read_text(), "of an earlier run")


if __name__ == "__main__":
    absltest.main()
