"""The result of fine-tuning, compared with the pretrained backbone."""

from typing import NamedTuple

from retrain.fine_tuning.paired_gain import PairedGain
from retrain.training.cross_validation import OutOfFold
from retrain.training.evaluation import Evaluation
from retrain.training.history import TrainingHistory


class FineTuningResult(NamedTuple):
    """How a fine-tuned backbone compares with the pretrained one.

    Attributes:
        kept: Whether the fine-tuned backbone was selected.
        history: Metrics of fine-tuning, by epochs.
        tuned: Evaluation on the validation split with the fine-tuned backbone.
        baseline: Evaluation on the validation split with the pretrained backbone, and a head
            trained in the same way.
        gain: Decrease of the cross entropy on the validation split through fine-tuning.
        test_tuned: Test accuracy with the fine-tuned backbone, 0 to 1; no choice depends on it.
        test_baseline: Test accuracy with the pretrained backbone, 0 to 1.
        baseline_out_of_fold: Cross-validation of the pretrained backbone, if the config asks for
            one. That of the fine-tuned one would need a fine-tuning for each fold.
    """

    kept: bool
    history: TrainingHistory
    tuned: Evaluation
    baseline: Evaluation
    gain: PairedGain
    test_tuned: float | None
    test_baseline: float | None
    baseline_out_of_fold: OutOfFold | None = None
