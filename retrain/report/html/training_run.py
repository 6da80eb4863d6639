"""What the sections of a report are made from, and what they return."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from retrain.data.dataset import Dataset, ImageFile
from retrain.export.parity import ParityCheck
from retrain.report.finished_training import FinishedTraining
from retrain.report.held_out import HeldOut, select_held_out
from retrain.report.html.page import shorten
from retrain.training.learning_curve import LearningCurve
from retrain.training.results import HeadResult

_MAX_LABEL = 60
# Of a longer path, the beginning and the end are shown.
_MAX_PATH, _PATH_END = 80, 40


@dataclass(frozen=True, kw_only=True)
class TrainingRun(FinishedTraining):
    """A run of //retrain that is about to put its files in place.

    Attributes:
        graph: Temporary path of the frozen graph.
        parity_checks: Parity checks of the exported files.
        learning_curve: Accuracy with fewer images; None if it was not measured.
    """

    graph: Path
    parity_checks: Sequence[ParityCheck]
    learning_curve: LearningCurve | None

    @property
    def result(self) -> HeadResult:
        """The head of the exported graph."""
        return self.results.primary

    @property
    def dataset(self) -> Dataset:
        """All readable images."""
        return self.result.features.dataset

    @functools.cached_property
    def labels(self) -> list[str]:
        """Labels of the classes as text that can be encoded, of limited length."""
        return [shorten(label, _MAX_LABEL) for label in self.dataset.labels]

    @functools.cached_property
    def held_out(self) -> HeldOut:
        """The predictions that the report judges the classifier by."""
        return select_held_out(self.result)

    def name_image(self, image: ImageFile) -> str:
        """Returns the path of an image for readers, relative to the image folder if possible."""
        return self.name_path(image.path)

    def name_path(self, path: Path) -> str:
        """Returns a path for readers, relative to the image folder if possible."""
        folder = self.dataset.image_dir
        shown = path.relative_to(folder) if path.is_relative_to(folder) else path
        return shorten(shown, _MAX_PATH, end=_PATH_END)


class Section(NamedTuple):
    """A section of the page.

    Attributes:
        name: Name of its template in `sections/`, and of its anchor.
        title: Heading.
        values: Values for the template.
    """

    name: str
    title: str
    values: Mapping[str, object]
