"""The numbers of a training to event files, which TensorBoard shows.

They are written with TensorBoard's own library, which does not need TensorFlow for it.
"""

import io
import itertools
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from retrain.errors import UserError
from retrain.runtimes.head import Head
from retrain.training.history import TrainingHistory
from retrain.training.sgd import Progress

# So that TensorBoard can follow a training that takes long.
_SECONDS_BETWEEN_FLUSHES = 5.0

# What readers look for in the first record of a file.
_FILE_VERSION = "brain.Event:2"

# Of this process, so that no two have the same name.
_FILE_NUMBERS = itertools.count()


class RunSummaries:
    """Writes the summaries of one run in a folder of its own. A context manager.

    TensorBoard shows them as the runs `train` and `validation`, which have the scalars `accuracy`
    and `cross_entropy` and the histograms `final_layer/weights` and `final_layer/biases`; those of
    a whole course, such as `by_strength/accuracy`, are named after it. What other runs wrote is
    left alone.

    Attributes:
        folder: of the run, made within the folder that was given.
    """

    def __init__(self, summaries_dir: Path, name: str = "") -> None:
        """Makes a folder for the run, named after the time.

        Args:
            summaries_dir: holds the folders of all runs; made where it is missing.
            name: what comes after the time, to tell runs apart.

        Raises:
            UserError: the folder cannot be written.
        """
        self._summaries_dir = summaries_dir
        self._files: dict[str, _EventFile] = {}
        try:
            self.folder = _make_folder(summaries_dir, name)
        except OSError as error:
            raise self._cannot_write(error) from error

    def add(self, progress: Progress) -> None:
        """Writes one evaluation.

        Raises:
            UserError: the disk is full, or the folder cannot be written any more.
        """
        histograms = _histograms(progress.head)
        try:
            self._file("train").add(
                progress.step,
                _scalars(progress.train_accuracy, progress.train_cross_entropy),
                histograms,
            )
            if progress.validation_accuracy is not None:
                self._file("validation").add(
                    progress.step,
                    _scalars(progress.validation_accuracy, progress.validation_cross_entropy),
                    histograms,
                )
        except OSError as error:
            raise self._cannot_write(error) from error

    def add_history(self, history: TrainingHistory, name: str) -> None:
        """Writes how good all heads of a course are, under its name; the first of them as step 1.

        Raises:
            UserError: as of `add`.
        """
        runs = {"train": history.learned, "validation": history.others}
        try:
            for run, measures in runs.items():
                for step, of_one in enumerate(zip(*measures, strict=True) if measures else (), 1):
                    self._file(run).add(step, _scalars(*of_one, prefix=f"{name}/"))
        except OSError as error:
            raise self._cannot_write(error) from error

    def _file(self, run: str) -> "_EventFile":
        # TensorBoard would show a run without anything in it, so its file is made when needed.
        if run not in self._files:
            self._files[run] = _EventFile(self.folder / run)
        return self._files[run]

    def _cannot_write(self, error: OSError) -> UserError:
        return UserError(
            f"--summaries_dir={self._summaries_dir} cannot be written: {error.strerror}; make room "
            "or name another folder, or write no summaries with --summaries_dir="
        )

    def __enter__(self) -> "RunSummaries":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Writes what is not on the disk yet; raises UserError where it is full."""
        failure: OSError | None = None
        for file in self._files.values():
            try:
                file.close()
            except OSError as cannot_close:
                failure = cannot_close
        # An error of the training says more than one that may only have followed from it.
        if failure and error is None:
            raise self._cannot_write(failure) from failure


def add_drawings(folder: Path, drawings: Mapping[str, bytes], step: int = 0) -> None:
    """Writes plots, by their names, for TensorBoard, which shows `folder` as a run.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _EventFile(folder)
        try:
            file.add(step, *(_image(name, drawing) for name, drawing in drawings.items()))
        finally:
            file.close()
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}; make room") from error


class _EventFile:
    """A file of TensorBoard's format: events in records with checksums."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event = event_pb2.Event
        folder.mkdir(exist_ok=True)
        # TensorBoard finds files by `tfevents` in their names, and reads them in their order.
        name = f"events.out.tfevents.{int(time.time()):010}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / f"{name}.{next(_FILE_NUMBERS)}").open("xb")
        self._writer = RecordWriter(self._file)
        self._flushed = 0.0
        self._write(self._event(file_version=_FILE_VERSION))

    def add(self, step: int, *summaries: Any) -> None:
        """Writes one event with all that is in the `summaries` (Summary messages)."""
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
        """Writes what is not on the disk yet."""
        self._writer.close()


def _make_folder(parent: Path, suffix: str) -> Path:
    """Makes a new folder in `parent`; no two runs get the same, also when they start at once."""
    parent.mkdir(parents=True, exist_ok=True)
    name = time.strftime("%Y-%m-%dT%H-%M-%S") + (f"-{suffix}" if suffix else "")
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError("there is no end of numbers")


def _scalars(accuracy: float, cross_entropy: float | None, prefix: str = "") -> Any:
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb

    result = scalar_pb(f"{prefix}accuracy", accuracy)
    result.MergeFrom(scalar_pb(f"{prefix}cross_entropy", cross_entropy))
    return result


def _image(tag: str, drawing: bytes) -> Any:
    """Returns a PNG or JPEG file as a message `Summary`, which TensorBoard shows as `tag`."""
    from PIL import Image
    from tensorboard.compat.proto import summary_pb2

    header = Image.open(io.BytesIO(drawing))
    image = summary_pb2.Summary.Image(
        height=header.height,
        width=header.width,
        colorspace=len(header.getbands()),
        encoded_image_string=drawing,
    )
    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, image=image)])


def _histograms(head: Head) -> Any:
    from tensorboard.plugins.histogram.summary_v2 import histogram_pb

    result = histogram_pb("final_layer/weights", head.weights)
    result.MergeFrom(histogram_pb("final_layer/biases", head.bias))
    return result
