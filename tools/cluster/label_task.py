"""Labels images, and writes the labels to Parquet files."""

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from label_image.classifier import Classifier, Overrides, UnreadableImage
from retrain.errors import UserError
from retrain.shards import unreadable_list
from retrain.shards.storage import Storage
from retrain.system.outputs.temporary_folders import temporary_folder
from tools.cluster import label_files
from tools.cluster.read_ahead import ImageReader
from tools.cluster.task import ChunkResult, ImageTask, Worker, chunk_name, undecodable_image


@dataclass(frozen=True)
class LabelTask(ImageTask):
    """Labels images.

    Attributes:
        image_url: Folder or URL of the images.
        output_url: Folder or URL for the results.
        graph_path: Path of the classifier's file, whose extension tells its kind.
        graph: Content of the classifier's file. It is sent with the task, so that all machines run
            the same network.
        labels: Content of the file with the labels; None if the graph contains them.
        overrides: The user's settings.
        num_top_predictions: Number of labels to write for each image.
    """

    image_url: str
    output_url: str
    graph_path: Path
    graph: bytes = dataclasses.field(repr=False)
    labels: bytes | None
    overrides: Overrides
    num_top_predictions: int = 5
    noun: ClassVar[str] = "Labels"

    @classmethod
    def create(
        cls,
        image_url: str,
        output_url: str,
        *,
        graph: Path,
        overrides: Overrides,
        num_top_predictions: int,
    ) -> "LabelTask":
        """Reads a classifier and its labels.

        Raises:
            UserError: If a file cannot be read.
        """
        if graph.is_dir():
            raise UserError(
                f"--graph={graph} is a folder; name a .pb, .tflite or .keras file, which can be "
                "sent to other machines"
            )
        return cls(
            image_url,
            output_url,
            graph,
            _read("graph", graph),
            _read("labels", overrides.labels_file) if overrides.labels_file else None,
            overrides,
            num_top_predictions,
        )

    @property
    def sha256(self) -> str:
        """SHA-256 of the classifier and of everything else that determines the results."""
        settings = f"{self.num_top_predictions} {self.overrides.unknown_below}"
        # Earlier versions did not have these.
        for name in ("fit", "mean", "std"):
            if (value := getattr(self.overrides, name)) is not None:
                settings += f" {name}={value}"
        digest = hashlib.sha256(hashlib.sha256(self.graph).digest() + settings.encode())
        digest.update(self.labels or b"")
        return digest.hexdigest()

    def start(self) -> "LabelWorker":
        """Loads the classifier."""
        return LabelWorker(self)

    def find_results(self, output: Storage) -> list[str]:
        """See the base class."""
        return label_files.find(output)

    def read_versions(self, output: Storage, name: str) -> Any:
        """See the base class."""
        return label_files.read_versions(output, name, self.sha256)


class LabelWorker(Worker):
    """Labels images with all processors that the process can use."""

    def __init__(self, task: LabelTask) -> None:
        """Loads the classifier that was sent with the task.

        Raises:
            UserError: If it cannot be used.
        """
        self._task = task
        self._images = Storage(task.image_url, "image_dir")
        self._output = Storage(task.output_url, "results")
        with temporary_folder() as folder:
            graph, labels = folder / task.graph_path.name, folder / "labels.txt"
            graph.write_bytes(task.graph)
            overrides = task.overrides
            if task.labels is not None:
                labels.write_bytes(task.labels)
                overrides = dataclasses.replace(overrides, labels_file=labels)
            try:
                self._classifier = Classifier(graph, overrides=overrides)
            except UserError as error:
                # The user knows only the files that were sent.
                message = str(error).replace(str(graph), str(task.graph_path))
                message = message.replace(str(labels), str(task.overrides.labels_file))
                raise UserError(message) from error

    def process(self, images: Any) -> ChunkResult:
        """Labels the images, and writes one file."""
        missed: dict[int, str] = {}
        digests: dict[int, str] = {}
        with ImageReader(self._images, images) as reader:
            sources = _contents(reader, len(images), missed, digests)
            results = list(self._classifier.classify(sources))
        done, predictions, undecodable = [], [], []
        for row, result in enumerate(results):
            if row in missed:
                continue
            if isinstance(result, UnreadableImage):
                undecodable.append(
                    undecodable_image(images, row, sha256=digests[row], reason=result.reason)
                )
            else:
                done.append(row)
                predictions.append(result)
        name = chunk_name(images, self._task.sha256)
        unreadable_list.write(self._output, name, undecodable)
        if done:
            content = label_files.encode(
                images.take(done),
                predictions,
                top=self._task.num_top_predictions,
                classifier=self._task.sha256,
            )
            self._output.write(f"{label_files.FILE_PREFIX}{name}{label_files.FILE_SUFFIX}", content)
        names = images["name"]
        return ChunkResult(
            len(done), undecodable, [(names[row].as_py(), why) for row, why in missed.items()]
        )


def _contents(
    reader: ImageReader, count: int, missed: dict[int, str], digests: dict[int, str]
) -> Iterator[bytes]:
    """Yields the content of each image, or nothing for one that cannot be read."""
    lock = threading.Lock()
    for row in range(count):
        try:
            data = reader.read(row)
        except OSError as error:
            data = b""
            with lock:
                missed[row] = error.strerror or str(error)
        digests[row] = hashlib.sha256(data).hexdigest()
        yield data


def _read(flag: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"--{flag}={path} cannot be read: {error.strerror}; name a file that you can read"
        ) from error
