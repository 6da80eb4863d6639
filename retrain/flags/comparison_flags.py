"""The flags that compare the new classifier with other ones."""

from absl import flags

from retrain.config import MOST_ACCURATE, SMALLEST, BaselineOptions, TrainingConfig
from retrain.errors import UserError
from retrain.system.program import path_flags

# Heading of these flags in --help.
HEADING = "Comparison with other classifiers"

_SELECT_ARCHITECTURE = flags.DEFINE_enum(
    "select_architecture",
    TrainingConfig.select_architecture,
    [SMALLEST, MOST_ACCURATE],
    "Network to use if --architecture names several: smallest, for the smallest one whose "
    "cross-validated accuracy is within one standard error of the best; or most_accurate.",
)
_BASELINE_GRAPH = flags.DEFINE_string(
    "baseline_graph",
    None,
    "Classifier to compare the new one with on the test images: any file that label_image reads, "
    "such as the present --output_graph.",
)
_BASELINE_LABELS = flags.DEFINE_string(
    "baseline_labels",
    None,
    "Labels of --baseline_graph, one per line. Required only if it does not contain them.",
)


def select_architecture(names: tuple[str, ...]) -> str:
    """Returns how to select one of several networks.

    Args:
        names: Networks that --architecture names, if there are several.

    Raises:
        UserError: If the flag is set for a single network.
    """
    if _SELECT_ARCHITECTURE.present and not names:
        raise UserError(
            f"--select_architecture={_SELECT_ARCHITECTURE.value} needs several networks, such as "
            "--architecture=efficientnet_lite0,efficientnet_lite2"
        )
    return _SELECT_ARCHITECTURE.value


def baseline() -> BaselineOptions:
    """Returns the classifier to compare with.

    Raises:
        UserError: If there are labels without a classifier, or no such file.
    """
    graph = path_flags.optional_path(_BASELINE_GRAPH)
    labels = path_flags.optional_path(_BASELINE_LABELS)
    if labels and not graph:
        raise UserError(f"--baseline_labels={labels} needs --baseline_graph; add it")
    return BaselineOptions(graph, labels)
