"""What came out of a training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from retrain.bottlenecks.compute import Bottlenecks, Part
from retrain.data.splits import TEST
from retrain.runtimes.head import Head
from retrain.training.evaluation import Evaluation
from retrain.training.history import TrainingHistory


class FineTuned(NamedTuple):
    """What came out when the network learned, too.

    Attributes:
        kept: whether it was found to be better so.
        history: how it went, by epochs.
        with_it: how good the classifier is for the validation part with what the network learned.
        without: how good it is with the network as it was, and a head made alike.
        gain: by how much the mean cross entropy is smaller with it, in nats.
        standard_error: of the gain.
        test_with: the accuracy of the final test with it, by which nothing is chosen.
        test_without: the accuracy of the final test with the network as it was.
    """

    kept: bool
    history: TrainingHistory
    with_it: Evaluation
    without: Evaluation
    gain: float
    standard_error: float
    test_with: float | None
    test_without: float | None


@dataclass(frozen=True)
class Trained:
    """A last layer trained on the features of one engine, and tested on them.

    Attributes:
        features: of all images.
        head: trained on those of the training part.
        tested: the images of the final test.
        evaluations: of the head on the parts VALIDATION and TEST.
        history: how the training went.
        summaries: the folder of its summaries, where there are any.
    """

    features: Bottlenecks
    head: Head
    tested: Part
    evaluations: Mapping[str, Evaluation]
    history: TrainingHistory | None = None
    summaries: Path | None = None

    @property
    def test(self) -> Evaluation:
        """How good the head is on images that nothing was chosen by."""
        return self.evaluations[TEST]
