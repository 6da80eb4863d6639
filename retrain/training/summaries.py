"""Writes metrics and plots for TensorBoard."""

import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from retrain.errors import UserError
from retrain.training.event_file import EventFile, histograms, image, scalars
from retrain.training.history import TrainingHistory
from retrain.training.step_metrics import StepMetrics


class RunSummaries:
    """Writes the summaries of one run to a new folder. A context manager.

    TensorBoard shows the runs `train` and `validation`, with the scalars `accuracy` and
    `cross_entropy` and the histograms `final_layer/weights` and `final_layer/biases`. The scalars
    of a whole history have a prefix, as in `by_strength/accuracy`. Summaries of other runs are not
    touched.

    Attributes:
        folder: Folder of the run, within the folder of all runs.
    """

    def __init__(self, summaries_dir: Path, *, name: str = "") -> None:
        """Creates a folder for the run, named after the current time.

        Args:
            summaries_dir: Folder of all runs. It is created if it does not exist.
            name: Suffix of the folder's name, to tell runs apart.

        Raises:
            UserError: If the folder cannot be written.
        """
        self._summaries_dir = summaries_dir
        self._files: dict[str, EventFile] = {}
        try:
            self.folder = _make_folder(summaries_dir, name)
        except OSError as error:
            raise self._cannot_write(error) from error

    def add(self, metrics: StepMetrics) -> None:
        """Writes the metrics of one step.

        Raises:
            UserError: If the folder cannot be written, for example because the disk is full.
        """
        weights = histograms(metrics.head)
        try:
            self._file("train").add(
                metrics.step,
                scalars(metrics.train_accuracy, metrics.train_cross_entropy),
                weights,
            )
            if metrics.validation_accuracy is not None:
                self._file("validation").add(
                    metrics.step,
                    scalars(metrics.validation_accuracy, metrics.validation_cross_entropy),
                    weights,
                )
        except OSError as error:
            raise self._cannot_write(error) from error

    def add_history(self, history: TrainingHistory, name: str) -> None:
        """Writes all metrics of a history with the prefix `name`, from step 1.

        Raises:
            UserError: As in `add`.
        """
        runs = {"train": history.train, "validation": history.validation}
        try:
            for run, series in runs.items():
                for step, metrics in enumerate(zip(*series, strict=True) if series else (), 1):
                    self._file(run).add(step, scalars(*metrics, prefix=f"{name}/"))
        except OSError as error:
            raise self._cannot_write(error) from error

    def _file(self, run: str) -> EventFile:
        # TensorBoard would also show an empty run, so files are created on first use.
        if run not in self._files:
            self._files[run] = EventFile(self.folder / run)
        return self._files[run]

    def _cannot_write(self, error: OSError) -> UserError:
        return UserError(
            f"--summaries_dir={self._summaries_dir} cannot be written: {error.strerror}; "
            "free some space, choose another folder, or write no summaries with --summaries_dir="
        )

    def __enter__(self) -> "RunSummaries":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Flushes and closes all files.

        Raises:
            UserError: If the disk is full.
        """
        failure: OSError | None = None
        for file in self._files.values():
            try:
                file.close()
            except OSError as cannot_close:
                failure = cannot_close
        # An error of the training itself is the more informative one.
        if failure and error is None:
            raise self._cannot_write(failure) from failure


def add_plots(folder: Path, plots: Mapping[str, bytes], *, step: int = 0) -> None:
    """Writes plots to event files in `folder`, which TensorBoard shows as a run.

    Args:
        folder: Folder of the run. It is created if it does not exist.
        plots: PNG or JPEG files by their names.
        step: Training step of the plots.

    Raises:
        UserError: If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = EventFile(folder)
        try:
            file.add(step, *(image(name, plot) for name, plot in plots.items()))
        finally:
            file.close()
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror}; free some space, choose another "
            "--summaries_dir, or write no summaries with --summaries_dir="
        ) from error


def _make_folder(parent: Path, suffix: str) -> Path:
    """Creates a new folder in `parent`. Runs that start at the same time get different ones."""
    parent.mkdir(parents=True, exist_ok=True)
    name = time.strftime("%Y-%m-%dT%H-%M-%S") + (f"-{suffix}" if suffix else "")
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError("unreachable")
