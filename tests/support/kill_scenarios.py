"""The programs, with what must be true whenever one of them was killed."""

import abc
import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from retrain.export import frozen_graph
from retrain.system.outputs.leftovers import is_leftover_name
from retrain.system.outputs.unfinished import settle
from tests.support import drawn_shapes, programs, sample_classifier, small_keras

_GENERATION = re.compile(rb"generation (\d+)")


class LossError(Exception):
    """Something is lost, mixed or left behind. The message says what."""


class Scenario(abc.ABC):
    """A program that is run again and again, and killed most of the time.

    Attributes:
        folder: Folder with all files of the scenario.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abc.abstractmethod
    def prepare(self) -> None:
        """Creates the inputs."""

    @abc.abstractmethod
    def arguments(self) -> Sequence[object]:
        """Returns the Python file and the arguments of the next run."""

    @abc.abstractmethod
    def check(self, *, is_complete: bool) -> None:
        """Raises LossError if something is lost or mixed after a run."""

    def was_interrupted_between_renames(self) -> bool:
        """Returns whether a killed run left replacements that are to be undone."""
        return any(path.stat().st_size for path in self.folder.rglob(".retrain-outputs-*"))

    def leftovers(self) -> list[Path]:
        """Returns what killed runs have left behind."""
        return [path for path in self.folder.rglob(".*") if is_leftover_name(path.name)]


class Exporting(Scenario):
    """A program whose outputs all contain the number of the run that wrote them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.generation = 0
        self._last: int | None = None

    @abc.abstractmethod
    def outputs(self) -> list[Path]:
        """Returns the paths of all outputs."""

    def check(self, *, is_complete: bool) -> None:
        """All outputs are of the run before, or all of this one."""
        # As every program does that reads one of the outputs.
        outputs = self.outputs()
        settle(outputs[self.generation % len(outputs)])
        found = {path.name: _generations(path) for path in outputs}
        numbers = set().union(*found.values())
        expected = {self.generation} if is_complete else {self.generation, self._last}
        if len(numbers) > 1 or not numbers <= expected - {None}:
            raise LossError(f"outputs of runs {found}, expected one of {expected}")
        if self._last is not None and not all(found.values()):
            raise LossError(f"missing outputs: {found}")
        self._last = next(iter(numbers), None)


def _generations(path: Path) -> set[int]:
    """Returns the numbers of the runs that a file or folder contains."""
    if path.is_dir():
        return set().union(*(_generations(file) for file in path.rglob("*") if file.is_file()))
    if not path.exists():
        return set()
    content = path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            content += b"".join(archive.read(name) for name in archive.namelist())
    return {int(number) for number in _GENERATION.findall(content)}


class Retrain(Exporting):
    """retrain with some exports. The images stay the same, and the names of the classes change."""

    all_formats = False

    def prepare(self) -> None:
        """Draws the images."""
        programs.draw_colours(self.folder / "colours")

    def arguments(self) -> Sequence[object]:
        """Renames the classes, so that the labels are new."""
        self.generation += 1
        images = self.folder / "images"
        shutil.rmtree(images, ignore_errors=True)
        for source in (self.folder / "colours").iterdir():
            shutil.copytree(source, images / f"{source.name} generation {self.generation}")
        flags = [
            *programs.outputs(self.folder),
            f"--image_dir={images}",
            f"--metrics_json={self.folder}/metrics/metrics.json",
        ]
        if self.all_formats:
            flags += [
                f"--saved_model_dir={self.folder}/saved/1",
                f"--keras_file={self.folder}/model.keras",
                f"--tflite_file={self.folder}/mobile/model.tflite",
                f"--coreml_file={self.folder}/mobile/Model.mlpackage",
                f"--plots_dir={self.folder}/plots",
            ]
        return ["retrain/main.py", *flags]

    def outputs(self) -> list[Path]:
        """The plots are images, in which the number cannot be found."""
        names = ["graph.pb", "labels.txt", "metrics/metrics.json"]
        if self.all_formats:
            names += ["saved/1", "model.keras", "mobile/model.tflite", "mobile/Model.mlpackage"]
        return [self.folder / name for name in names]


class RetrainAllFormats(Retrain):
    """retrain with all exports."""

    all_formats = True


class Convert(Exporting):
    """convert to three formats, with new labels in each run."""

    def prepare(self) -> None:
        """Writes the classifier to convert."""
        small_keras.build_model().save(self.folder / "model.keras")

    def arguments(self) -> Sequence[object]:
        """Translates the labels."""
        self.generation += 1
        labels = ",".join(f"{x} generation {self.generation}" for x in ("a", "b", "c"))
        return [
            "tools/convert.py",
            f"--graph={self.folder}/model.keras",
            "--input_std=255",
            f"--class_labels={labels}",
            f"--saved_model_dir={self.folder}/converted/1",
            f"--tflite_file={self.folder}/converted/model.tflite",
            f"--coreml_file={self.folder}/coreml/Model.mlmodel",
        ]

    def outputs(self) -> list[Path]:
        """One of each format."""
        names = ("converted/1", "converted/model.tflite", "coreml/Model.mlmodel")
        return [self.folder / name for name in names]


class TrainKeras(Scenario):
    """train_keras, which continues after the last finished epoch."""

    def prepare(self) -> None:
        """Draws the images."""
        self._data = drawn_shapes.write_npz(self.folder / "shapes.npz")
        self._epochs = 0

    def arguments(self) -> Sequence[object]:
        """The same run, which needs more epochs when it has been completed."""
        return [
            "tools/train_keras.py",
            f"--train_dir={self._data}",
            f"--output_dir={self.folder}/output",
            "--architecture=cnn_malireddi",
            f"--bottleneck_dir={self.folder}/cache",
            "--resume",
            f"--epochs={self._epochs + 2}",
        ]

    def check(self, *, is_complete: bool) -> None:
        """Finished epochs are kept, and the history is that of the weights."""
        output = self.folder / "output"
        settle(output / "history.json")
        epochs = 0
        if (output / "history.json").exists():
            epochs = len(json.loads((output / "history.json").read_text()))
            for name in ("model.json", "model.weights.h5", "labels.txt"):
                if not (output / name).stat().st_size:
                    raise LossError(f"{name} is empty")
        if epochs not in (self._epochs, self._epochs + 2) or (is_complete and not epochs):
            raise LossError(f"{epochs} epochs instead of {self._epochs} or {self._epochs + 2}")
        self._epochs = epochs


class GuessDir(Scenario):
    """guess_dir, alternately sorting images and undoing that."""

    def prepare(self) -> None:
        """Writes a classifier, and draws the images to sort."""
        _write_classifier(self.folder)
        self._source = programs.draw_colours(self.folder / "source", 12)
        self._images = self._count()
        self._undoes = True

    def arguments(self) -> Sequence[object]:
        """Sorts, or undoes the last sorting."""
        if (self.folder / "results.csv").exists() and not self._undoes:
            return ["tools/guess_dir.py", f"--undo={self.folder}/results.csv"]
        return [
            "tools/guess_dir.py",
            f"--graph={self.folder}/graph.pb",
            f"--results={self.folder}/results.csv",
            "--recursive",
            "--move",
            self._source,
            self.folder / "sorted",
        ]

    def check(self, *, is_complete: bool) -> None:
        """No image is lost or changed."""
        missing = self._images - self._count()
        if missing:
            raise LossError(f"{sum(missing.values())} images are lost or changed")
        if is_complete:
            self._undoes = not self._undoes

    def _count(self) -> Counter[str]:
        folders = [self.folder / "source", self.folder / "sorted"]
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)


class LabelImage(Scenario):
    """label_image, which changes nothing."""

    def prepare(self) -> None:
        """Writes a classifier, and draws the images to label."""
        _write_classifier(self.folder)
        programs.draw_colours(self.folder / "images")
        self._before = self._contents()

    def arguments(self) -> Sequence[object]:
        """Labels an image."""
        return [
            "label_image/main.py",
            f"--graph={self.folder}/graph.pb",
            f"--labels={self.folder}/labels.txt",
            self.folder / "images" / "Red" / "0.jpg",
        ]

    def check(self, *, is_complete: bool) -> None:
        """No file is new or changed."""
        if self._contents() != self._before:
            raise LossError("files have changed")

    def _contents(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}


def _write_classifier(folder: Path) -> None:
    """Writes `graph.pb` and `labels.txt`. The labels of images do not matter."""
    classifier = sample_classifier.classifier()
    (folder / "graph.pb").write_bytes(frozen_graph.to_bytes(classifier))
    (folder / "labels.txt").write_text("\n".join(sample_classifier.LABELS) + "\n")


class Cache(Scenario):
    """The bottleneck cache while retrain fills it."""

    def prepare(self) -> None:
        """Draws the images, and computes their vectors without an interruption."""
        self._images = programs.draw_colours(self.folder / "images", 20)
        done = programs.run(
            "retrain", f"--image_dir={self._images}", *programs.outputs(self.folder / "reference")
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        self._expected = _cached_rows(self.folder / "reference" / "cache")

    def arguments(self) -> Sequence[object]:
        """Fills the cache, which is emptied when it has been full."""
        if _cached_rows(self.folder / "cache") == self._expected:
            shutil.rmtree(self.folder / "cache")
        return [
            "retrain/main.py",
            f"--image_dir={self._images}",
            *programs.outputs(self.folder),
        ]

    def check(self, *, is_complete: bool) -> None:
        """Each vector is that of a run without an interruption."""
        rows = _cached_rows(self.folder / "cache")
        if not rows <= self._expected or (is_complete and rows != self._expected):
            raise LossError(f"{len(rows - self._expected)} wrong rows, {len(rows)} in all")


_ROWS = "SELECT * FROM bottlenecks JOIN recipes ON recipes.id = bottlenecks.recipe"


def _cached_rows(cache: Path) -> set[tuple[object, ...]]:
    """Returns the vectors with their keys. The table of files depends on the time of a run."""
    rows: set[tuple[object, ...]] = set()
    for file in cache.glob("*.sqlite"):
        # A run can have been killed before it created the table.
        missing_table = contextlib.suppress(sqlite3.OperationalError)
        with contextlib.closing(sqlite3.connect(file)) as database, missing_table:
            # The number of a recipe says only when it was first used, which depends on threads.
            for row in database.execute(_ROWS):
                rows.add((row[-1], *row[1:-2]))
    return rows


class Backbone(Scenario):
    """The preparation of a backbone in the cache. The network is only a few bytes."""

    _PROGRAM = """
import pathlib, sys
from retrain.backbones.backbone import BackboneInfo
from retrain.backbones.backbone_cache import load_or_prepare

def prepare(folder):
    for name in ("graph.pb", "network.tflite", "network.keras"):
        (folder / name).write_bytes(name.encode() * 1000)
    return BackboneInfo("net", "f", 1, 1, (0.0,) * 3, (1.0,) * 3, "RGB", 4)

load_or_prepare(pathlib.Path(sys.argv[1]), "net", "0" * 64, prepare)
"""

    def prepare(self) -> None:
        """Writes the program."""
        (self.folder / "prepare.py").write_text(self._PROGRAM)

    def arguments(self) -> Sequence[object]:
        """Prepares the backbone, which is deleted when it is complete."""
        shutil.rmtree(self.folder / "cache" / "backbones" / f"net-{'0' * 16}", ignore_errors=True)
        return [self.folder / "prepare.py", self.folder / "cache"]

    def check(self, *, is_complete: bool) -> None:
        """The backbone is complete, or it is not there."""
        folder = self.folder / "cache" / "backbones" / f"net-{'0' * 16}"
        files = {path.name: path.stat().st_size for path in folder.glob("n*")}
        if folder.exists() and files != {"network.tflite": 14000, "network.keras": 13000}:
            raise LossError(f"incomplete backbone: {files}")
        if is_complete and not folder.exists():
            raise LossError("the backbone is missing")


class Outputs(Exporting):
    """Three files and two folders in four folders, written by a program that does nothing else."""

    _PROGRAM = """
import pathlib, sys
from retrain.system.outputs.staging import Staging

with Staging() as staging:
    for path in map(pathlib.Path, sys.argv[2:]):
        file = staging.file(path) if path.suffix else staging.folder(path) / "file"
        file.write_text(sys.argv[1])
"""

    def prepare(self) -> None:
        """Writes the program."""
        (self.folder / "write.py").write_text(self._PROGRAM)

    def arguments(self) -> Sequence[object]:
        """Writes all outputs."""
        self.generation += 1
        name = f"generation {self.generation}"
        return [self.folder / "write.py", name, *self.outputs()]

    def outputs(self) -> list[Path]:
        """Files and folders, in several folders."""
        names = ("graph.pb", "labels.txt", "a/metrics.json", "b/1", "b/c/2")
        return [self.folder / name for name in names]


# Each with the share of the kills, so that slow programs do not take all the time.
SCENARIOS: dict[str, tuple[type[Scenario], float]] = {
    "outputs": (Outputs, 0.30),
    "backbone": (Backbone, 0.14),
    "guess_dir": (GuessDir, 0.22),
    "retrain": (Retrain, 0.12),
    "retrain_all_formats": (RetrainAllFormats, 0.04),
    "convert": (Convert, 0.04),
    "train_keras": (TrainKeras, 0.06),
    "label_image": (LabelImage, 0.03),
    "cache": (Cache, 0.05),
}


def state_folder(folder: Path) -> None:
    """Keeps what programs write to the user's folders in a folder of the scenario."""
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        os.environ[name] = str(folder / name)
