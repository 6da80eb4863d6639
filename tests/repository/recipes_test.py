"""The commands of docs/recipes.md work, in their order, on small data.

The commands run as the page has them, except that

- a temporary folder replaces /tmp and ~,
- --epochs is 1,
- examples/blocks has 19 of the 50 images of each class,
- three drawn shapes replace MNIST,
- a small network replaces the two networks that take minutes, and
- what would be downloaded (weights, the Inception archive, the TensorFlow Hub module) is made here
  with random weights. Exported files can differ with these, so --min_agreement is 0.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from absl.testing import absltest

from retrain.backbones.keras_architectures import ARCHITECTURES
from tests.support import drawn_shapes, file_server, keras_weights_files, old_graphs, tiny_modules

_PAGE = Path("docs/recipes.md")
_RUN = re.compile(r"bazel run (//[\w:]+) -- (.*)")
_PROGRAMS = {
    "//retrain": "retrain/main.py",
    "//label_image": "label_image/main.py",
    "//tools:convert": "tools/convert.py",
    "//tools:train_keras": "tools/train_keras.py",
}
# Replaces networks that take minutes. tests/benchmarks/architectures.py runs those.
_SMALL = "mobilenet_0.25_128"
_LARGE = re.compile(r"(?<=--architecture=)(inception_v3|vgg16)\b")
_HUB = "https://tfhub.dev"
_MODULE = "/google/imagenet/mobilenet_v2_100_224/feature_vector/4"
_LABELS = ["hundreds", "ones", "tens"]


def _commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    return "".join(blocks).splitlines()


def _copy_some_images(workspace: Path) -> None:
    """Copies the first and the last images of each class of examples/blocks."""
    # Among them are those that the page names.
    for pattern in ("*/*_00*.jpg", "*/*_04*.jpg"):
        for source in Path("examples/blocks").glob(pattern):
            target = workspace / source
            target.parent.mkdir(parents=True, exist_ok=True)
            # Bazel gives tests links to files, of which this copies the contents.
            shutil.copyfile(source, target)


class RecipesTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.home = Path(self.create_tempdir().full_path)
        self.workspace = self.home / "workspace"
        _copy_some_images(self.workspace)
        self.models = self.home / ".keras" / "models"
        self.models.mkdir(parents=True)
        (self.home / ".keras" / "datasets").mkdir()
        drawn_shapes.write_npz(self.home / ".keras" / "datasets" / "mnist.npz")
        archive = old_graphs.inception(side=299, width=64)
        old_graphs.write(self.home / "imagenet" / "classify_image_graph_def.pb", archive)
        module = tiny_modules.write_trainable(self.home / "module", 224)
        packed = tiny_modules.archive(module, self.home / "module.tar.gz").read_bytes()
        files = {f"{_MODULE}?tf-hub-format=compressed": packed}
        self.hub = self.enter_context(file_server.serving(files))

    def test_commands_run_in_order(self):
        programs = []
        for command in _commands():
            with self.subTest(command):
                programs.append(self.follow(command))
        self.assertEqual(set(programs), {None, *_PROGRAMS})
        self.assertEqual([path for path, _ in self.hub.requests], list(self.hub.files))

    def follow(self, command: str) -> str | None:
        """Runs a command; returns the target if it is a program of the project."""
        moved = command.replace("/tmp/", f"{self.home}/").replace(_HUB, self.hub.url)
        match = _RUN.fullmatch(moved)
        if match is None:
            subprocess.run(["sh", "-ec", moved], cwd=self.workspace, check=True)
            return None
        program, arguments = match.groups()
        arguments = re.sub(r"--epochs=\d+", "--epochs=1", _LARGE.sub(_SMALL, arguments))
        given = _expanded(arguments)
        done = self.run_program(program, *self.default_flags(program, given), *given)
        self.check(program, given, done)
        return program

    def default_flags(self, program: str, given: list[str]) -> list[str]:
        """Returns flags that precede those of the page, which override them."""
        flags = []
        if program in ("//retrain", "//tools:train_keras"):
            flags += [f"--bottleneck_dir={self.home}/cache"]
            self.make_weights(_value("architecture", given))
        if program == "//retrain":
            flags += [f"--summaries_dir={self.home}/logs"]
            # The outputs of random networks depend strongly on how an image is decoded.
            flags += ["--min_agreement=0"]
        return flags

    def make_weights(self, name: str) -> None:
        """Writes random weights of a network to the folder for downloads of Keras."""
        application = ARCHITECTURES.get(name)
        if application:
            file = self.models / application.file_name
            if not file.exists():
                keras_weights_files.write_legacy_weights(
                    file, keras_weights_files.build_model(name)
                )

    def run_program(self, program: str, *arguments: str) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [sys.executable, _PROGRAMS[program], *arguments],
            env={
                **os.environ,
                "PYTHONPATH": str(Path.cwd()),
                "BUILD_WORKING_DIRECTORY": str(self.workspace),
                "HOME": str(self.home),
                "KERAS_HOME": str(self.home / ".keras"),
            },
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, f"{program} {arguments}:\n{done.stderr}")
        return done

    def check(self, program: str, given: list[str], done: subprocess.CompletedProcess) -> None:
        if program == "//retrain":
            self.assertRegex(done.stdout, r"Final test accuracy = \d+\.\d% \(N=\d+\)")
            labels = Path(_value("output_labels", given)).read_text().splitlines()
            self.assertEqual(labels, _LABELS)
        elif program == "//label_image":
            lines = done.stdout.splitlines()
            self.assertLen(lines, 3, done.stdout)
            for line in lines:
                self.assertRegex(line, r"^(hundreds|ones|tens) \(score = [01]\.\d+\)$")
        elif program == "//tools:train_keras":
            folder = Path(_value("output_dir", given))
            self.assertLen(list(folder.glob("best_model.*.keras")), 1)
            self.assertLen(json.loads((folder / "history.json").read_text()), 1)
        for flag in ("output_graph", "saved_model_dir", "tflite_file", "coreml_file"):
            if path := _value(flag, given):
                self.assertTrue(Path(path).exists(), path)


def _expanded(arguments: str) -> list[str]:
    """Returns the arguments after expansion by a shell."""
    return subprocess.check_output(
        ["sh", "-ec", f"printf '%s\\n' {arguments}"], text=True
    ).splitlines()


def _value(flag: str, given: list[str]) -> str:
    """Returns the value of a flag, or an empty string."""
    found = [text for text in given if text.startswith(f"--{flag}=")]
    return found[-1].partition("=")[2] if found else ""


if __name__ == "__main__":
    absltest.main()
