"""Sorts the images of a folder by the labels that a classifier predicts."""

import contextlib
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from label_image.classifier import Classifier
from retrain.errors import UserError
from retrain.metadata import STRETCH
from retrain.runtimes import classifier_file
from retrain.system.outputs.atomic_files import atomic_file
from retrain.system.outputs.temporary_folders import temporary_folder
from retrain.system.program.interruption import Interruption
from tools.guess import results_file, run_records
from tools.guess.batch_sorter import BatchSorter
from tools.guess.errors import UnwritableError
from tools.guess.journal import NAME, Journal
from tools.guess.options import Options
from tools.guess.results import Result, results_of
from tools.guess.run_records import RunRecord
from tools.guess.summary import Summary
from tools.image_folders import find_images

# Settings that are not called like their flag on the command line.
_ARGUMENTS = {"source": "SRC", "target": "DEST", "how": "--move/--link"}


def sort_images(options: Options, graph: Path, classifier: Classifier) -> Summary:
    """Sorts all images, or the remaining ones if an earlier call was interrupted.

    Apart from the names of the images, memory does not grow with their number.

    Args:
        options: Options that `options.check` has accepted.
        graph: File or folder of the classifier. Its content identifies the classifier in the
            journal.
        classifier: Classifier in the file.

    Raises:
        UserError: If there are no images, the target folder cannot be written, an interrupted run
            had different options, or the results would replace those of another run.
    """
    if options.dry_run:
        with temporary_folder() as folder:
            return _run(options, graph, classifier, folder / NAME)
    return _run(options, graph, classifier, options.target / NAME)


def _run(options: Options, graph: Path, classifier: Classifier, journal_path: Path) -> Summary:
    # If an interrupted run has moved all images away, there are none to find.
    images = None if journal_path.exists() else _find_images(options)
    is_new_folder = not journal_path.parent.exists()
    try:
        journal_path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the folder {journal_path.parent} cannot be created: {error.strerror}"
        ) from error
    with Journal(journal_path) as journal:
        try:
            if journal.is_started:
                _continue(journal, options, graph, classifier)
            else:
                _check_results_file(options, ())
                images = _find_images(options) if images is None else images
                is_new_folder = is_new_folder or "." in journal.created_folders
                journal.start(
                    _settings(options, graph, classifier),
                    classifier.labels,
                    images,
                    run_key=_keep_record(journal, options),
                    created_folders=["."] if is_new_folder else [],
                )
            _remove_old_results(options)
            BatchSorter(journal, options, classifier).run()
            summary = _summarize(journal, options)
        except KeyboardInterrupt as error:
            raise Interruption(_describe_stop("interrupted", journal)) from error
        except UnwritableError as error:
            message = _describe_stop(str(error), journal, first="solve the problem and ")
            raise UserError(message) from error
        finally:
            if not journal.is_started:
                _remove_traces(journal, is_new_folder=is_new_folder)
        journal.remove()
        run_records.remove(journal.run_key)
    return summary


def _keep_record(journal: Journal, options: Options) -> str | None:
    """Records the folders of a new run for an undo; returns the key, or None for a dry run."""
    run_records.remove(journal.run_key)
    if options.dry_run:
        return None
    key = run_records.new_key()
    run_records.write(key, RunRecord.of_folders(options.source, options.target))
    return key


def _find_images(options: Options) -> Iterator[str]:
    return find_images.find_images(
        options.source, recursive=options.recursive, exclude=options.target
    )


def _settings(options: Options, graph: Path, classifier: Classifier) -> dict[str, Any]:
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
    }


def _continue(journal: Journal, options: Options, graph: Path, classifier: Classifier) -> None:
    """Raises UserError if the run of the journal cannot be continued with these options."""
    undo = f"--undo={journal.path}"
    if journal.is_being_undone:
        raise UserError(
            f"the images in {options.target} have only partly been restored; complete this with "
            f"{undo}"
        )
    defaults = {"unknown_below": 0.0, "fit": classifier.runtime.description.fit or STRETCH}
    recorded = {**defaults, **(journal.settings or {}), "labels": list(journal.labels)}
    current = {**_settings(options, graph, classifier), "labels": list(classifier.labels)}
    different = [
        _ARGUMENTS.get(name, f"--{name}")
        for name, value in current.items()
        if recorded.get(name) != value
    ]
    if different:
        raise UserError(
            f"{options.target} has the journal of an interrupted run with a different "
            f"{' and '.join(different)}; continue that run with its own flags, or restore its "
            f"images with {undo}"
        )
    _check_results_file(options, _results(journal))
    logging.info(
        "Continuing an interrupted run after %d of %d images", journal.num_done, journal.total
    )


def _check_results_file(options: Options, own_results: Iterable[Result]) -> None:
    if options.results is not None:
        results_file.check_replaceable(options.results, own_results)


def _remove_old_results(options: Options) -> None:
    """Removes a results file that is about to be replaced.

    It records a run that was undone. When the current run puts images at the same paths again, the
    file would look like the record of a run that was not undone.
    """
    if options.results is None or options.dry_run:
        return
    try:
        options.results.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"--results={options.results} cannot be overwritten: {error.strerror}; "
            "choose another file"
        ) from error


def _results(journal: Journal) -> Iterator[Result]:
    return results_of(journal.outcomes(), journal.settings or {}, journal.labels)


def _describe_stop(reason: str, journal: Journal, *, first: str = "") -> str:
    """Returns an error message that says how far the run came and what the user can do.

    Args:
        reason: Why the run stopped.
        journal: Journal of the run.
        first: What the user must do before the run can be continued.
    """
    if journal.settings and journal.settings["dry_run"]:
        return f"{reason}; nothing was changed"
    if not journal.is_started:
        return f"{reason}; no image was sorted"
    return (
        f"{reason}; {journal.num_done} of {journal.total} images are done: {first}run the same "
        f"command again to continue, or restore the images with --undo={journal.path}"
    )


def _remove_traces(journal: Journal, *, is_new_folder: bool) -> None:
    journal.remove()
    run_records.remove(journal.run_key)
    if is_new_folder:
        with contextlib.suppress(OSError):  # The folder has other contents.
            journal.path.parent.rmdir()


def _summarize(journal: Journal, options: Options) -> Summary:
    """Counts the results, and writes them if there is a results file."""
    summary = Summary()
    results = summary.counting(_results(journal))
    if options.results is None:
        for _ in results:
            pass
    else:
        # Another run could have written the file in the meantime.
        _check_results_file(options, _results(journal))
        with atomic_file(options.results) as temporary:
            format_ = options.results.suffix.lower()
            results_file.write(temporary, results, format_=format_, labels=journal.labels)
            record = RunRecord.of_folders(options.source, options.target, journal.created_folders)
            # In the final folder, another user could have replaced the file.
            run_records.write(results_file.digest(temporary), record)
    return summary
