"""A last layer trained on the features of one engine, and tested on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from retrain.bottlenecks import Bottlenecks, Part
from retrain.course import Course
from retrain.evaluation import Evaluation
from retrain.head import Head
from retrain.splits import TEST


@dataclass(frozen=True)
class Trained:
    """What became of one engine's features.

    Attributes:
        features: of all pictures.
        head: trained on those of the training part.
        tested: the pictures of the final test.
        evaluations: of the head on the parts VALIDATION and TEST.
        course: how the training went.
        summaries: the folder of its summaries, where there are any.
    """

    features: Bottlenecks
    head: Head
    tested: Part
    evaluations: Mapping[str, Evaluation]
    course: Course | None = None
    summaries: Path | None = None

    @property
    def test(self) -> Evaluation:
        """How good the head is on pictures that nothing was chosen by."""
        return self.evaluations[TEST]
