"""Writes to the ZIP archives inside Keras and TFLite files."""

import zipfile

from retrain.metadata import LABELS_FILE, METADATA_FILE, Metadata, labels_text

# A fixed date, so that equal classifiers give identical files. It is the first that ZIP can store.
_DATE = (1980, 1, 1, 0, 0, 0)


def add_file(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Adds a file, without compression."""
    archive.writestr(zipfile.ZipInfo(name, _DATE), content)


def add_description(archive: zipfile.ZipFile, metadata: Metadata) -> None:
    """Adds the labels, one per line, and the metadata as JSON."""
    add_file(archive, LABELS_FILE, labels_text(metadata.labels).encode())
    add_file(archive, METADATA_FILE, metadata.to_json().encode())
