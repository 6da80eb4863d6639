"""What a training has computed when its files are written."""

from dataclasses import dataclass

from retrain.backbones.backbone import Backbone
from retrain.comparison.comparisons import NO_COMPARISONS, Comparisons
from retrain.config import TrainingConfig
from retrain.data_check.last_check import LastCheck
from retrain.fine_tuning.result import FineTuningResult
from retrain.system.phase_timer import PhaseTimer
from retrain.training.results import Results


@dataclass(frozen=True, kw_only=True)
class FinishedTraining:
    """The inputs of the plots, the metrics, the report and the printed results.

    Attributes:
        config: Configuration of the run.
        backbone: Backbone of the classifier.
        results: The trained heads.
        fine_tuning: How fine-tuning went, if there was any.
        comparisons: What the classifier was compared with.
        data_check: Result of the last check of the images, if there was any.
        timer: Timer of the run's phases.
    """

    config: TrainingConfig
    backbone: Backbone
    results: Results
    fine_tuning: FineTuningResult | None = None
    comparisons: Comparisons = NO_COMPARISONS
    data_check: LastCheck | None = None
    timer: PhaseTimer
