"""One run exports all formats, each of which labels images; a failed run replaces no file."""

import json
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

from tests.support import programs


class ExportsMainTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.images = programs.draw_colours(cls.folder / "pictures", count=20)
        cls.done = cls.train(
            f"--saved_model_dir={cls.folder}/saved/1",
            f"--keras_file={cls.folder}/model.keras",
            f"--tflite_file={cls.folder}/model.tflite",
            "--tflite_quantization=int8",
            f"--coreml_file={cls.folder}/Model.mlpackage",
            "--assert_accuracy_at_least=0.9",
            f"--metrics_json={cls.folder}/metrics.json",
        )
        assert cls.done.returncode == 0, cls.done.stderr

    @classmethod
    def train(cls, *flags: object):
        usual = [f for f in programs.outputs(cls.folder) if not f.startswith("--how_many")]
        return programs.run("retrain", f"--image_dir={cls.images}", *usual, *flags)

    def assert_refused(self, done, message: str) -> None:
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr.splitlines()[-1], f"^Error: .*{message}")

    def files(self) -> dict[str, bytes]:
        found = [path for path in self.folder.rglob("*") if path.is_file()]
        kept = [path for path in found if not {"cache", "logs"} & set(path.parts)]
        return {str(path): path.read_bytes() for path in kept}

    def test_the_output_lists_the_files_and_their_agreement(self):
        names = ("graph.pb", "saved/1", "model.keras", "model.tflite", "Model.mlpackage")
        for name in names:
            self.assertIn(f"  {self.folder}/{name} ", self.done.stdout)
            self.assertTrue((self.folder / name).exists())
        for kind in ("frozen graph", "SavedModel", "Keras", "TFLite, int8", "Core ML, float16"):
            self.assertRegex(self.done.stdout, rf"(?m)^  {kind} +100\.0 % ")

    def test_libraries_print_nothing(self):
        for word in ("Serializing", "absl", "oneDNN", "WARNING", "Warning", "Assets", "XNNPACK"):
            self.assertNotIn(word, self.done.stderr)

    def test_the_metrics_have_the_agreement_of_each_file(self):
        exports = json.loads((self.folder / "metrics.json").read_text())["exports"]
        self.assertLen(exports, 5)
        for export in exports:
            self.assertEqual(export["from_pixels"]["agreement"], 1)
            self.assertGreater(export["size"], 1_000_000)
        *exact, int8, coreml = exports
        for export in exact:
            self.assertLess(export["from_pixels"]["largest"], 1e-4)
        self.assertLess(int8["from_pixels"]["largest"], 2e-2)
        self.assertLess(coreml["from_pixels"]["largest"], 1e-2)

    def test_the_tflite_file_labels_images(self):
        for colour in programs.COLOURS:
            done = programs.run(
                "label_image",
                f"--graph={self.folder}/model.tflite",
                self.images / colour / "0.jpg",
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertStartsWith(done.stdout, f"{colour.lower()} (score = ")

    def test_an_insufficient_accuracy_replaces_nothing(self):
        before = self.files()
        mixed = self.folder / "mixed"
        for folder in ("One", "Other"):
            # The two folders have the same images.
            for colour in programs.COLOURS:
                shutil.copytree(self.images / colour, mixed / folder / colour)
        self.addCleanup(shutil.rmtree, mixed)
        done = self.train(f"--image_dir={mixed}", "--assert_accuracy_at_least=1")
        self.assert_refused(done, "less than --assert_accuracy_at_least=1; no classifier was")
        after = {name: data for name, data in self.files().items() if "mixed" not in name}
        self.assertEqual(after, before)

    @parameterized.parameters(
        ("--coreml_file=/tmp/model.pb", "--coreml_file=/tmp/model.pb must end in .mlpackage"),
        ("--keras_file=/tmp/model.h5", "--keras_file=/tmp/model.h5 must end in .keras"),
        ("--tflite_quantization=int8", "--tflite_quantization=int8 needs --tflite_file"),
        ("--tflite_input=float32", "--tflite_input=float32 needs --tflite_file"),
        ("--coreml_author=me", "--coreml_author=me needs --coreml_file; add it"),
        ("--min_agreement=99", "--min_agreement=99 must be a number from 0 to 1"),
        (
            "--assert_accuracy_at_least=0.5 --testing_percentage=0",
            "--assert_accuracy_at_least=0.5 cannot be checked: no images",
        ),
        (
            "--assert_accuracy_at_least=-1",
            "--assert_accuracy_at_least=-1 must be a number from 0 to 1",
        ),
        ("--assert_accuracy_at_least=nan", "--assert_accuracy_at_least=nan is not a number"),
    )
    def test_invalid_flags_are_refused(self, flags: str, message: str):
        self.assert_refused(self.train(*flags.split()), message)

    def test_invalid_tflite_options_are_refused(self):
        file = f"--tflite_file={self.folder}/other.tflite"
        self.assert_refused(self.train(file, "--tflite_quantization=int4"), "int4 is not known")
        done = self.train(file, "--tflite_quantization=int8", "--tflite_input=float32")
        self.assert_refused(done, "--tflite_input=float32 does not go with")
        done = self.train(
            file, "--tflite_quantization=int8", "--flip_left_right", "--distortions_per_image=0"
        )
        self.assert_refused(done, "cannot be combined with --tflite_quantization=int8")

    def test_a_folder_with_other_files_is_not_replaced(self):
        done = self.train(f"--saved_model_dir={self.images}")
        self.assert_refused(done, f"--saved_model_dir={self.images} ")
        self.assertTrue((self.images / "Red" / "0.jpg").is_file())


if __name__ == "__main__":
    absltest.main()
