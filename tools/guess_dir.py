"""Sorts the images of a folder with a classifier.

    bazel run //tools:guess_dir -- --graph=/tmp/output_graph.pb SRC DEST

Copies each image in SRC to DEST under a name that consists of the predicted label and its score,
such as elsa-0.99636.jpg. Images that show none of the classes go to DEST/unknown under their own
names. No file is ever overwritten: a second one gets a number, such as -2. An interrupted run
continues when the same command is run again. A table of the classes is printed to standard output.
The exit status is 1 if an image could not be read or sorted; a warning names it.
"""

from retrain.system.program import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
import logging
from pathlib import Path

from absl import flags

from label_image import classifier_flags
from retrain.errors import UserError
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from retrain.system.program.path_flags import optional_path, required_path
from tools.guess.options import UNKNOWN, Options, check
from tools.guess.summary import Summary
from tools.image_folders import folder_arguments
from tools.transfers import transfer

_CLASSIFIER = classifier_flags.define()
_RECURSIVE = folder_arguments.define_recursive()
_BY_FOLDER = flags.DEFINE_boolean(
    "by_folder", False, "Whether to keep the names of the images and sort them into DEST/<label>."
)
_MOVE = flags.DEFINE_boolean("move", False, "Whether to move the images instead of copying them.")
_LINK = flags.DEFINE_enum(
    "link",
    None,
    [transfer.HARD_LINK, transfer.SYMBOLIC_LINK],
    "Kind of link to create instead of a copy.",
)
_UNSURE_BELOW = flags.DEFINE_float(
    "unsure_below",
    0,
    "Score from 0 to 1 below which images go to DEST/unsure.",
    lower_bound=0,
    upper_bound=1,
)
_DRY_RUN = flags.DEFINE_boolean(
    "dry_run", False, "Whether to only print the new paths and change nothing."
)
_RESULTS = flags.DEFINE_string(
    "results",
    None,
    "File for the new path and the scores of each image, with a name that ends in .json, .csv or "
    ".jsonl. --undo reads it. An existing file is overwritten only if its run was undone or was a "
    "--dry_run.",
)
_UNDO = flags.DEFINE_string(
    "undo",
    None,
    "File that records a run to undo: its --results, or the .guess_dir.journal that an interrupted "
    "run leaves in DEST. Restores the images and does nothing else. SRC and DEST are required if "
    "an earlier version or another user wrote the file.",
)


def main(arguments: list[str]) -> int:
    """Sorts or restores images; returns the exit status."""
    if _UNDO.value is not None:
        return _undo(required_path(_UNDO), [user_path(argument) for argument in arguments])
    options = _options(arguments)
    check(options)
    # Loading these takes time, which an error message about the options does not have to wait for.
    from label_image.classifier import Classifier
    from label_image.unknown_images import log_if_undecidable
    from tools.guess.sort_images import sort_images

    graph, overrides = _CLASSIFIER.graph_path(), _CLASSIFIER.overrides()
    classifier = Classifier(graph, overrides=overrides)
    log_if_undecidable(graph, classifier.unknown_below, overrides.unknown_below)
    summary = sort_images(options, graph, classifier)
    _report(summary, options)
    return int(summary.num_failed > 0)


def _options(arguments: list[str]) -> Options:
    if _MOVE.value and _LINK.value:
        raise UserError(f"--move and --link={_LINK.value} cannot be combined; omit one of them")
    source, target = folder_arguments.parse(arguments, "the sorted images")
    return Options(
        source=source,
        target=target,
        recursive=_RECURSIVE.value,
        by_folder=_BY_FOLDER.value,
        operation=_LINK.value or (transfer.MOVE if _MOVE.value else transfer.COPY),
        unsure_below=_UNSURE_BELOW.value,
        dry_run=_DRY_RUN.value,
        results=optional_path(_RESULTS),
    )


def _report(summary: Summary, options: Options) -> None:
    print(summary.table())
    action = transfer.ACTIONS[options.operation]
    action = f"Would have {action}" if options.dry_run else action.capitalize()
    logging.info("%s %d images to %s", action, summary.num_sorted, options.target)
    if summary.num_unknown:
        logging.info(
            "Images that show none of the classes: %d, in %s",
            *(summary.num_unknown, options.target / UNKNOWN),
        )
    if options.results:
        logging.info("Wrote the results to %s", options.results)
    if summary.num_failed:
        logging.warning("%d images were not sorted; the warnings above say why", summary.num_failed)


def _undo(path: Path, folders: list[Path]) -> int:
    if len(folders) not in (0, 2):
        raise UserError(
            "--undo takes no folder, or SRC and DEST of the run; "
            f"received: {' '.join(map(str, folders))}"
        )
    from tools.transfers.undo import undo_and_report

    return undo_and_report(path, (folders[0], folders[1]) if folders else None)


if __name__ == "__main__":
    command_line.run(
        main, __doc__, when_interrupted="interrupted; run the same command again to continue"
    )
