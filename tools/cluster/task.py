"""What is done with images on one machine or many: the interface of a task and its results."""

import abc
import dataclasses
import hashlib
import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

from retrain.shards.shard_files import VERSION_COLUMNS
from retrain.shards.storage import Storage
from retrain.shards.unreadable_list import UndecodableImage


@dataclass(frozen=True)
class ChunkResult:
    """What became of the images of a chunk.

    Attributes:
        done: Number of images whose results were written.
        undecodable: Images that cannot be decoded. They are listed next to the results, and not
            tried again.
        missed: Name of each image that could not be read, and why. The next run tries it again.
        error: Why the chunk could not be processed, as one line; None if it was.
        cpu_seconds: CPU time of the process that processed the chunk.
    """

    done: int = 0
    undecodable: list[UndecodableImage] = field(default_factory=list)
    missed: list[tuple[str, str]] = field(default_factory=list)
    error: str | None = None
    cpu_seconds: float = 0


class Worker(abc.ABC):
    """Processes chunks of images on one machine."""

    @abc.abstractmethod
    def process(self, images: Any) -> ChunkResult:
        """Processes the images, and writes one file with their results.

        The name of the file depends on the images only, so that a chunk that is processed twice
        leaves one file.

        Args:
            images: Arrow table with the columns of `image_table`.

        Raises:
            UserError: If the storage or the network cannot be used.
        """


def process_timed(worker: Worker, images: Any) -> ChunkResult:
    """Processes images as `Worker.process` does, and measures the CPU time."""
    start = time.process_time()
    result = worker.process(images)
    return dataclasses.replace(result, cpu_seconds=time.process_time() - start)


class ImageTask(abc.ABC):
    """Something to do with images, which can be sent to other machines.

    Attributes:
        image_url: Folder or URL of the images.
        output_url: Folder or URL for the results.
        noun: Plural name of the results, for messages.
    """

    image_url: str
    output_url: str
    noun: ClassVar[str]

    @abc.abstractmethod
    def start(self) -> Worker:
        """Loads the network."""

    @abc.abstractmethod
    def find_results(self, output: Storage) -> list[str]:
        """Returns the sorted names of the files with results in the output folder."""

    @abc.abstractmethod
    def read_versions(self, output: Storage, name: str) -> Any:
        """Returns the images that a file has results of, an Arrow table with VERSION_COLUMNS.

        Raises:
            UserError: If the results are those of another task, or the file cannot be read.
            FormatError: If the file is not complete.
        """


def undecodable_image(images: Any, row: int, *, sha256: str, reason: str) -> UndecodableImage:
    """Returns the entry of a row of the images for the list of files that cannot be decoded."""
    name, size, modified = (images[column][row].as_py() for column in VERSION_COLUMNS)
    return UndecodableImage(name, size, modified, sha256, reason)


def chunk_name(images: Any, *texts: str) -> str:
    """Returns a name for the results of a chunk, which depends on its images.

    Args:
        images: Arrow table with the columns of `image_table`.
        texts: What else the results depend on.
    """
    digest = hashlib.sha256("\0".join(texts).encode())
    for column in VERSION_COLUMNS:
        for value in images[column].to_pylist():
            digest.update(f"\0{value}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:24]
