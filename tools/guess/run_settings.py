"""Decides whether a command continues an interrupted run: its settings must be the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from label_image.classifier import Classifier
from retrain.errors import UserError
from retrain.metadata import STRETCH
from retrain.runtimes import classifier_file
from tools.guess.options import Options
from tools.transfers.journal import Journal

# Settings that are not called like their flag on the command line.
_ARGUMENTS = {"source": "SRC", "target": "DEST", "how": "--move/--link"}


def describe(options: Options, graph: Path, classifier: Classifier) -> dict[str, Any]:
    """Returns what has to be the same to continue a run. The keys are part of the file format."""
    return {
        "source": str(options.source),
        "target": str(options.target),
        "recursive": options.recursive,
        "by_folder": options.by_folder,
        "how": options.operation,
        "unsure_below": options.unsure_below,
        "dry_run": options.dry_run,
        # Only whether the journal has the scores. The path can be a different one.
        "results": options.results is not None,
        "graph": classifier_file.digest(graph),
        # Journals of earlier versions do not have these.
        "unknown_below": classifier.unknown_below or 0.0,
        "fit": classifier.decoding.fit,
        "input_mean": classifier.overrides.mean,
        "input_std": classifier.overrides.std,
    }


def check_same(journal: Journal, settings: Mapping[str, Any], classifier: Classifier) -> None:
    """Raises UserError if the run of a journal cannot be continued with these settings.

    Args:
        journal: Journal of the interrupted run.
        settings: Result of `describe`.
        classifier: The classifier of the current command.
    """
    undo = f"--undo={journal.path}"
    if journal.is_being_undone:
        raise UserError(
            f"the images in {journal.path.parent} have only partly been restored; complete this "
            f"with {undo}"
        )
    defaults = {"unknown_below": 0.0, "fit": classifier.runtime.description.fit or STRETCH}
    recorded = {**defaults, **(journal.settings or {}), "labels": list(journal.labels)}
    current = {**settings, "labels": list(classifier.labels)}
    different = [
        _ARGUMENTS.get(name, f"--{name}")
        for name, value in current.items()
        if recorded.get(name) != value
    ]
    if different:
        raise UserError(
            f"{journal.path.parent} has the journal of an interrupted run with a different "
            f"{' and '.join(different)}; continue that run with its own flags, or restore its "
            f"images with {undo}"
        )
