"""Writes event files for TensorBoard, and makes the messages in them.

TensorBoard's own library writes them; it does not need TensorFlow for this.
"""

import io
import itertools
import os
import socket
import time
from pathlib import Path
from typing import Any

from retrain.runtimes.head import Head

# TensorBoard follows a long training run if its files are flushed regularly.
_SECONDS_BETWEEN_FLUSHES = 5.0

# Readers expect this in the first record of a file.
_FILE_VERSION = "brain.Event:2"

# Numbers the files of this process, so that each has a name of its own.
_FILE_NUMBERS = itertools.count()


class EventFile:
    """An event file, in TensorBoard's record format with checksums."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event = event_pb2.Event
        folder.mkdir(exist_ok=True)
        # TensorBoard finds files by `tfevents` in their names, and reads them in that order.
        name = f"events.out.tfevents.{int(time.time()):010}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / f"{name}.{next(_FILE_NUMBERS)}").open("xb")
        self._writer = RecordWriter(self._file)
        self._flushed = 0.0
        self._write(self._event(file_version=_FILE_VERSION))

    def add(self, step: int, *summaries: Any) -> None:
        """Writes one event that contains all `summaries`, which are Summary messages."""
        event = self._event(step=step)
        for summary in summaries:
            event.summary.MergeFrom(summary)
        self._write(event)

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.write(event.SerializeToString())
        if event.wall_time - self._flushed >= _SECONDS_BETWEEN_FLUSHES:
            self._writer.flush()
            self._flushed = event.wall_time

    def close(self) -> None:
        """Flushes and closes the file."""
        self._writer.close()


def scalars(accuracy: float, cross_entropy: float | None, *, prefix: str = "") -> Any:
    """Returns a Summary message with two metrics, whose names begin with `prefix`."""
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb

    result = scalar_pb(f"{prefix}accuracy", accuracy)
    result.MergeFrom(scalar_pb(f"{prefix}cross_entropy", cross_entropy))
    return result


def image(tag: str, plot: bytes) -> Any:
    """Returns a Summary message with a PNG or JPEG file, which TensorBoard shows as `tag`."""
    from PIL import Image
    from tensorboard.compat.proto import summary_pb2

    header = Image.open(io.BytesIO(plot))
    value = summary_pb2.Summary.Image(
        height=header.height,
        width=header.width,
        colorspace=len(header.getbands()),
        encoded_image_string=plot,
    )
    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, image=value)])


def histograms(head: Head) -> Any:
    """Returns a Summary message with the distributions of the weights and of the biases."""
    from tensorboard.plugins.histogram.summary_v2 import histogram_pb

    result = histogram_pb("final_layer/weights", head.weights)
    result.MergeFrom(histogram_pb("final_layer/biases", head.bias))
    return result
