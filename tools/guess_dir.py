"""Sorts the images of a folder with a classifier that retrain made.

    bazel run //tools:guess_dir -- --graph=/tmp/output_graph.pb SRC DEST

Each image in SRC is copied to DEST under a name that says what it shows and how sure that is,
such as elsa-0.99636.jpg. No file is ever written over: a second one gets -2. A run that was stopped
goes on when the same command is started again; one that has ended begins anew. A table of the
classes goes to standard output. The exit status is 1 where an image could not be read or filed;
it is named, and stays where it is.
"""

import logging
from pathlib import Path

from absl import flags

from retrain.errors import UserError
from retrain.system import command_line
from retrain.system.files import user_path
from tools.guess import placing
from tools.guess.options import Options, check
from tools.guess.placing import FullError
from tools.guess.summary import Summary

_GRAPH = flags.DEFINE_string(
    "graph", "/tmp/output_graph.pb", "The classifier: a frozen graph or TFLite file."
)
_LABELS = flags.DEFINE_string(
    "labels",
    None,
    "A file with one label a line. Needed only for a graph that does not carry its labels.",
)
_RECURSIVE = flags.DEFINE_boolean(
    "recursive", False, "Look for images in the folders in SRC, too; not in DEST, if it is there."
)
_BY_FOLDER = flags.DEFINE_boolean(
    "by_folder", False, "File an image under its own name, in DEST/<class>."
)
_MOVE = flags.DEFINE_boolean("move", False, "Move the images instead of copying them.")
_LINK = flags.DEFINE_enum(
    "link",
    None,
    [placing.HARD, placing.SYMBOLIC],
    "Make links to the images instead of copies of them.",
)
_UNSURE_BELOW = flags.DEFINE_float(
    "unsure_below",
    0,
    "File what has a lower score, from 0 to 1, in DEST/unsure, under the same name.",
    *(0, 1),
)
_DRY_RUN = flags.DEFINE_boolean(
    "dry_run", False, "Change nothing, and say what would be filed where."
)
_RESULTS = flags.DEFINE_string(
    "results",
    None,
    "A file for what became of each image, with the scores of all labels, which --undo takes; "
    "its name ends with .json, .csv or .jsonl. A new one for each run: that of an earlier run is "
    "written over only after --undo or --dry_run.",
)
_UNDO = flags.DEFINE_string(
    "undo",
    None,
    "Put everything back, instead of filing: a file of --results, or the .guess_dir.journal that a "
    "run leaves in DEST when it is stopped.",
)

_DONE = {
    placing.COPY: "Copied",
    placing.MOVE: "Moved",
    placing.HARD: "Hard-linked",
    placing.SYMBOLIC: "Linked",
}


def main(arguments: list[str]) -> int:
    """Files images, or puts them back; returns the exit status."""
    if _UNDO.value is not None:
        return _undo(user_path(_UNDO.value), arguments)
    options = _options(arguments)
    check(options)
    # They take a moment to load, which a mistake need not wait for.
    from label_image.classifier import Classifier, Overrides
    from tools.guess import guessing

    graph = user_path(_GRAPH.value)
    overrides = Overrides(labels_file=user_path(_LABELS.value) if _LABELS.value else None)
    summary = guessing.guess(options, graph, Classifier(graph, overrides))
    _tell(summary, options)
    return int(summary.left > 0)


def _options(arguments: list[str]) -> Options:
    if len(arguments) != 2:
        raise UserError(
            f"two folders are needed, the one of the images and the one to file them in; "
            f"received: {' '.join(arguments) or 'none'}"
        )
    if _MOVE.value and _LINK.value:
        raise UserError(f"--move and --link={_LINK.value} exclude each other; leave one out")
    return Options(
        source=user_path(arguments[0]),
        target=user_path(arguments[1]),
        recursive=_RECURSIVE.value,
        by_folder=_BY_FOLDER.value,
        how=_LINK.value or (placing.MOVE if _MOVE.value else placing.COPY),
        unsure_below=_UNSURE_BELOW.value,
        dry_run=_DRY_RUN.value,
        results=user_path(_RESULTS.value) if _RESULTS.value else None,
    )


def _tell(summary: Summary, options: Options) -> None:
    print(summary.table())
    done = "Would file" if options.dry_run else _DONE[options.how]
    logging.info("%s %d images to %s", done, summary.filed, options.target)
    if options.results:
        logging.info("Wrote what became of each to %s", options.results)
    if summary.left:
        logging.warning("%d images stay where they are, as said above", summary.left)


def _undo(path: Path, arguments: list[str]) -> int:
    if arguments:
        raise UserError(f"--undo takes no folders; received: {' '.join(arguments)}")
    from tools.guess import undoing

    try:
        undone = undoing.undo(path)
    except FullError as error:
        raise UserError(f"{error}; make room and start the same command again") from error
    logging.info("%d images are as they were before", undone.back)
    return int(undone.failed > 0)


if __name__ == "__main__":
    command_line.run(main, __doc__, when_interrupted="interrupted; start again to do the rest")
