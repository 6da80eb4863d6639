"""What the sections of a report are made from, and what they return."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from retrain.backbones.backbone import Backbone
from retrain.comparison.comparisons import NO_COMPARISONS, Comparisons
from retrain.config import TrainingConfig
from retrain.data.dataset import Dataset, ImageFile
from retrain.data_check.last_check import LastCheck
from retrain.export.parity import ParityCheck
from retrain.fine_tuning.result import FineTuningResult
from retrain.report.held_out import HeldOut, select_held_out
from retrain.report.html.page import shorten
from retrain.system.phase_timer import PhaseTimer
from retrain.training.learning_curve import LearningCurve
from retrain.training.results import HeadResult, Results

_MAX_LABEL = 60
# Of a longer path, the beginning and the end are shown.
_MAX_PATH, _PATH_END = 80, 40


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A run of //retrain that is about to put its files in place.

    Attributes:
        config: Configuration of the run.
        backbone: Backbone of the classifier.
        results: The trained heads.
        fine_tuning: How fine-tuning went, if there was any.
        graph: Temporary path of the frozen graph.
        parity_checks: Parity checks of the exported files.
        timer: Timer of the run's phases.
        learning_curve: Accuracy with fewer images; None if it was not measured.
        comparisons: What the classifier was compared with.
        data_check: Result of the last check of the images, if there was any.
    """

    config: TrainingConfig
    backbone: Backbone
    results: Results
    fine_tuning: FineTuningResult | None
    graph: Path
    parity_checks: Sequence[ParityCheck]
    timer: PhaseTimer
    learning_curve: LearningCurve | None
    comparisons: Comparisons = NO_COMPARISONS
    data_check: LastCheck | None = None

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
