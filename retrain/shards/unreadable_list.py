"""Lists images that cannot be decoded in files next to the results, so that runs skip them.

Each file has one JSON object per line, with the name, the version and the SHA-256 of an image file,
and the reason. An image that changes is tried again.
"""

import json
import logging
from typing import NamedTuple

from retrain.shards.storage import Storage

# Programs that read a folder of Parquet files ignore names that start like this.
_FILE_PREFIX = "_unreadable-"
_FILE_SUFFIX = ".jsonl"


class UndecodableImage(NamedTuple):
    """An image file that was read but is not an image.

    Attributes:
        name: Path relative to the image folder.
        size: Size of the file in bytes.
        modified: See `StoredFile`.
        sha256: SHA-256 of the file in hexadecimal digits.
        reason: Why it cannot be decoded.
    """

    name: str
    size: int
    modified: str
    sha256: str
    reason: str


def write(storage: Storage, name: str, images: list[UndecodableImage]) -> None:
    """Writes a file with some images, unless there are none.

    Args:
        storage: Folder of the results.
        name: Name of the results that were computed at the same time.
        images: The images.
    """
    if images:
        lines = "".join(json.dumps(image._asdict()) + "\n" for image in images)
        storage.write(f"{_FILE_PREFIX}{name}{_FILE_SUFFIX}", lines.encode())


def read_all(storage: Storage) -> list[UndecodableImage]:
    """Returns the images in all files of a folder. Ignores lines that are damaged."""
    images = []
    for file in storage.find(_FILE_PREFIX, _FILE_SUFFIX):
        for line in storage.read(file).splitlines():
            try:
                images.append(UndecodableImage(**json.loads(line)))
            except (ValueError, TypeError):
                logging.warning("%s/%s has a damaged line, which is ignored.", storage.url, file)
    return images
