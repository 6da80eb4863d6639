"""Draws heat maps over the images of a folder: where they look like a label of a classifier.

    bazel run //tools:heatmap -- --graph=/tmp/output_graph.pb SRC DEST

Writes the heat map of each image in SRC to DEST under the name of the image with .png after it,
such as photo.jpg.png. With --recursive, DEST gets the same sub-folders. DEST must be new or empty,
or contain only earlier heat maps, which are overwritten. The exit status is 1 if an image could not
be read; a warning names it.
"""

from retrain.system.program import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
import logging

from absl import flags

from label_image import classifier_flags
from retrain.errors import UserError
from retrain.system.program import command_line
from tools.image_folders import folder_arguments

_CLASSIFIER = classifier_flags.define(finds_unknown_images=False)
_RECURSIVE = folder_arguments.define_recursive()
_LABEL = flags.DEFINE_string(
    "label", None, "Label of all heat maps. By default, the best label of each image."
)
_TOP = flags.DEFINE_integer(
    "top",
    1,
    "Number of labels to draw a heat map of for each image, the best first. If there are several, "
    "the names of the files contain them, as in photo.jpg-elsa.png.",
    lower_bound=1,
    upper_bound=10,
)


def main(arguments: list[str]) -> int:
    """Draws the heat maps; returns the exit status."""
    if _LABEL.value is not None and _TOP.value > 1:
        raise UserError(
            f"--label={_LABEL.value} and --top={_TOP.value} cannot be combined; omit one of them"
        )
    source, target = folder_arguments.parse(arguments, "the heat maps")
    # Loading these takes time, which an error message about the flags does not have to wait for.
    from label_image.classifier import Classifier
    from tools.heat_maps.draw_folder import Options, check, draw_folder

    options = Options(
        source=source,
        target=target,
        recursive=_RECURSIVE.value,
        label=_LABEL.value,
        top=_TOP.value,
    )
    check(options)
    classifier = Classifier(_CLASSIFIER.graph_path(), overrides=_CLASSIFIER.overrides())
    counts = draw_folder(options, classifier)
    logging.info("Wrote the heat maps of %d images to %s", counts.drawn, options.target)
    if counts.failed:
        logging.warning("%d images could not be read; the warnings above say why", counts.failed)
    return int(counts.failed > 0)


if __name__ == "__main__":
    command_line.run(
        main,
        __doc__,
        when_interrupted="interrupted; the heat maps that were written are complete",
    )
