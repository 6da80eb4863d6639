"""What a run compared the new classifier with."""

from typing import NamedTuple

from retrain.comparison.architectures import ArchitectureComparison
from retrain.comparison.baseline import BaselineComparison


class Comparisons(NamedTuple):
    """The comparisons of a run.

    Attributes:
        architectures: Comparison of pretrained networks, if several were given.
        baseline: Comparison with an earlier classifier, if one was given.
    """

    architectures: ArchitectureComparison | None = None
    baseline: BaselineComparison | None = None


NO_COMPARISONS = Comparisons()
