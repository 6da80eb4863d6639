"""Sorts the images of a folder by the labels that a classifier predicts."""

import collections
import contextlib
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from label_image.classifier import Classifier
from retrain.errors import UserError
from retrain.system.outputs.atomic_files import atomic_file
from retrain.system.outputs.temporary_folders import temporary_folder
from retrain.system.program.interruption import Interruption
from tools.guess import run_settings
from tools.guess.batch_sorter import BatchSorter
from tools.guess.options import Options
from tools.guess.summary import Summary
from tools.image_folders import find_images
from tools.transfers import results_file, results_writer, run_records
from tools.transfers.errors import UnwritableError
from tools.transfers.journal import NAME, Journal
from tools.transfers.results_file import PLANNED, ImageRecord
from tools.transfers.results_writer import SortedRun
from tools.transfers.run_records import RunRecord
from tools.transfers.transfer import ACTIONS


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
            settings = run_settings.describe(options, graph, classifier)
            if journal.is_started:
                run_settings.check_same(journal, settings, classifier)
                _check_results_file(options, _records(journal))
                logging.info(
                    "Continuing an interrupted run after %d of %d images",
                    *(journal.num_done, journal.total),
                )
            else:
                _check_results_file(options, ())
                images = _find_images(options) if images is None else images
                is_new_folder = is_new_folder or "." in journal.created_folders
                journal.start(
                    settings,
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


def _check_results_file(options: Options, own_records: Iterable[ImageRecord]) -> None:
    if options.results is not None:
        results_file.check_replaceable(options.results, own_records)


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


def _sorted_run(journal: Journal) -> SortedRun:
    settings = journal.settings or {}
    action = PLANNED if settings["dry_run"] else ACTIONS[settings["how"]]
    return SortedRun(Path(settings["source"]), Path(settings["target"]), action, journal.labels)


def _records(journal: Journal) -> Iterator[ImageRecord]:
    return map(_sorted_run(journal).record, journal.outcomes())


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
    """Counts the images, and writes what became of them if there is a results file."""
    summary = Summary()
    outcomes = summary.counting(journal.outcomes())
    if options.results is None:
        collections.deque(outcomes, maxlen=0)
        return summary
    # Another run could have written the file in the meantime.
    _check_results_file(options, _records(journal))
    try:
        with atomic_file(options.results, flag="results") as temporary:
            format_ = options.results.suffix.lower()
            results_writer.write(temporary, outcomes, _sorted_run(journal), format_=format_)
            record = RunRecord.of_folders(options.source, options.target, journal.created_folders)
            # In the final folder, another user could have replaced the file.
            run_records.write(results_file.digest(temporary), record)
    except UserError as error:
        raise UnwritableError(str(error)) from error
    return summary
