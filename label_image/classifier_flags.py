"""The flags of all programs that label images: the classifier, and what overrides its file."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from retrain.errors import UserError
from retrain.runtimes import fit_flag
from retrain.system.program import trust_flag
from retrain.system.program.path_flags import graph_path, optional_path

if TYPE_CHECKING:
    from label_image.classifier import Overrides

# The flags belong to the program that calls `define`.
flags.disclaim_key_flags()


@dataclass(frozen=True)
class ClassifierFlags:
    """The flags that `define` defined, to be read after the command line is parsed."""

    graph: flags.FlagHolder[str]
    labels: flags.FlagHolder[str | None]
    fit: flags.FlagHolder[str | None]
    input_mean: flags.FlagHolder[float | None]
    input_std: flags.FlagHolder[float | None]
    unknown_below: flags.FlagHolder[float | None] | None

    def graph_path(self) -> Path:
        """Returns the path of the classifier to use; see `path_flags.graph_path`."""
        return graph_path(self.graph)

    def overrides(self) -> "Overrides":
        """Returns the user's settings for the classifier.

        Raises:
            UserError: If --input_std is 0.
        """
        if self.input_std.value == 0:
            raise UserError(
                "--input_std=0 would divide by zero; give the number to divide pixels by"
            )
        # Loading it takes time, which an error message about the flags does not have to wait for.
        from label_image.classifier import Overrides

        return Overrides(
            labels_file=optional_path(self.labels),
            fit=self.fit.value,
            mean=self.input_mean.value,
            std=self.input_std.value,
            unknown_below=None if self.unknown_below is None else self.unknown_below.value,
            trust_model=trust_flag.TRUST_MODEL.value,
        )


def define(
    *,
    kinds: str = "a frozen graph, TFLite file, Keras file or SavedModel folder",
    finds_unknown_images: bool = True,
) -> ClassifierFlags:
    """Defines the flags.

    Args:
        kinds: Kinds of classifiers that the program can use, for the help.
        finds_unknown_images: Whether to define --unknown_below.
    """
    flags.adopt_module_key_flags(trust_flag)
    return ClassifierFlags(
        graph=flags.DEFINE_string("graph", "/tmp/output_graph.pb", f"Classifier to use: {kinds}."),
        labels=flags.DEFINE_string(
            "labels",
            None,
            "File with one label per line. Required only if the graph does not contain its labels.",
        ),
        fit=fit_flag.define(),
        input_mean=flags.DEFINE_float(
            "input_mean",
            None,
            "Number from 0 to 255 to subtract from each pixel. Overrides the graph's metadata.",
        ),
        input_std=flags.DEFINE_float(
            "input_std",
            None,
            "Number to divide each pixel by after subtracting --input_mean. Overrides the graph's "
            "metadata.",
        ),
        unknown_below=_define_unknown_below() if finds_unknown_images else None,
    )


def _define_unknown_below() -> flags.FlagHolder[float | None]:
    return flags.DEFINE_float(
        "unknown_below",
        None,
        "Familiarity, 0 to 1, below which an image counts as showing none of the classes. The "
        "default is 0.05 if the classifier states how familiar images are; about 5 % of the images "
        "of its own classes are below that. 0 accepts all images.",
        lower_bound=0,
        upper_bound=1,
    )
