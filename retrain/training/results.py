"""The results of a training: heads and their evaluations."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from retrain.bottlenecks.features import Bottlenecks, SplitFeatures
from retrain.data.splits import TEST, VALIDATION
from retrain.runtimes.familiarity import Familiarity
from retrain.runtimes.head import Head
from retrain.training.cross_validation import OutOfFold
from retrain.training.evaluation import Evaluation
from retrain.training.history import TrainingHistory


@dataclass(frozen=True)
class HeadResult:
    """A head trained on the features of one engine, and its evaluations.

    Attributes:
        features: Features of all images.
        head: The head trained on the training split.
        test_features: The part of the test split that the head was tested on.
        evaluations: Evaluation of the head on the splits VALIDATION and TEST.
        history: Metrics along the training.
        summaries: Folder with the run's TensorBoard summaries, if any were written.
        out_of_fold: Result of the cross-validation, if the config asks for one. None for features
            of a backbone that was fine-tuned on the images, and for the int8 head.
        familiarity: How familiar images are, compared with the training images; None if there are
            too few images.
    """

    features: Bottlenecks
    head: Head
    test_features: SplitFeatures
    evaluations: Mapping[str, Evaluation]
    history: TrainingHistory | None = None
    summaries: Path | None = None
    out_of_fold: OutOfFold | None = None
    familiarity: Familiarity | None = None

    @property
    def test(self) -> Evaluation:
        """Evaluation on the test split, which no choice depends on."""
        return self.evaluations[TEST]

    @property
    def validation(self) -> Evaluation:
        """Evaluation on the validation split."""
        return self.evaluations[VALIDATION]


class Results(NamedTuple):
    """The heads that one run trains.

    Attributes:
        primary: The head of the exported graph and of every other floating-point export.
        int8: The head for int8 features, if the run needs one.
    """

    primary: HeadResult
    int8: HeadResult | None = None

    def all(self) -> list[HeadResult]:
        """Returns the results in the order in which their features were computed."""
        return [self.int8, self.primary] if self.int8 else [self.primary]
