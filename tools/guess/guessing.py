"""Files the images of a folder by what a classifier takes them for."""

import contextlib
import dataclasses
import hashlib
import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import tee
from pathlib import Path
from typing import Any

from label_image.classifier import Classifier, Prediction, UnreadableImage
from retrain.errors import UserError
from retrain.system.batches import batches
from retrain.system.files import atomic_file
from retrain.system.progress import ProgressBar
from retrain.system.text import one_line
from tools.guess import filing, find_images, results_file
from tools.guess.journal import NAME, Journal, Plan
from tools.guess.options import Options
from tools.guess.placing import FullError, Placing
from tools.guess.results_file import Result
from tools.guess.safe_names import FreeNames, safe_and_distinct
from tools.guess.summary import Summary

UNSURE = "unsure"

# Images that are filed together, so that the disk is waited for once.
_BATCH = 64
# How the user says what has no flag of its name.
_SAID_BY = {"source": "SRC", "target": "DEST", "how": "--move or --link"}
# Of the scores that are kept.
_DIGITS = 6

_Answer = tuple[str, Prediction | UnreadableImage]


def guess(options: Options, graph: Path, classifier: Classifier) -> Summary:
    """Files all images; where an earlier call was stopped, those that it left.

    Memory grows with the number of images by little more than their names.

    Args:
        options: what is to be done, as `guess_options.check` passed it.
        graph: the file of the classifier, to know it again.
        classifier: what it holds.

    Raises:
        UserError: there are no images, no room, an interrupted run with other options, or results
            of another run where these are to be written.
    """
    if options.dry_run:
        with tempfile.TemporaryDirectory(prefix="guess_dir-") as folder:
            return _guess(options, graph, classifier, Path(folder) / NAME)
    return _guess(options, graph, classifier, options.target / NAME)


def _guess(options: Options, graph: Path, classifier: Classifier, path: Path) -> Summary:
    # A run that was stopped may have moved all images away already.
    images = None if path.exists() else _images(options)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {path.parent} cannot be made: {error.strerror}") from error
    with Journal(path) as journal:
        try:
            _begin_or_go_on(journal, _run(options, graph), classifier.labels, images, options)
            _clear_results(options)
            _Filing(journal, options, classifier).run()
            summary = _finish(journal, options)
        except KeyboardInterrupt:
            raise UserError(_stopped("interrupted", "start", journal)) from None
        except FullError as error:
            raise UserError(_stopped(str(error), "make room and start", journal)) from error
        finally:
            if not journal.position and not journal.pending:
                _leave_nothing(journal)
        journal.remove()
    return summary


def _images(options: Options) -> Iterator[str]:
    return find_images.all_in(options.source, options.recursive, options.target)


def _run(options: Options, graph: Path) -> dict[str, Any]:
    """Returns what must be the same for a run that goes on with another one."""
    fields = dataclasses.asdict(options)
    return {
        **fields,
        "source": str(options.source),
        "target": str(options.target),
        "graph": hashlib.sha256(graph.read_bytes()).hexdigest(),
        # Whether scores are kept; where they are written to may be changed.
        "results": options.results is not None,
    }


def _begin_or_go_on(
    journal: Journal,
    run: dict[str, Any],
    labels: Sequence[str],
    images: Iterable[str] | None,
    options: Options,
) -> None:
    if not journal.position and not journal.pending:
        _check_results(options, ())
        journal.begin(run, labels, _images(options) if images is None else images)
        return
    instead = f"put the images back with --undo={journal.path}"
    if journal.is_being_undone:
        raise UserError(f"the images in {options.target} are being put back; {instead}")
    found = {**(journal.run or {}), "labels": list(journal.labels)}
    wanted = {**run, "labels": list(labels)}
    others = [_SAID_BY.get(n, f"--{n}") for n, value in wanted.items() if found.get(n) != value]
    if others:
        raise UserError(
            f"{options.target} has the journal of an interrupted run with another "
            f"{' and '.join(others)}; start that one again, or {instead}"
        )
    _check_results(options, _results(journal))
    logging.info(
        "Going on after %d of %d images, where an earlier run was stopped",
        *(journal.position, journal.total),
    )


def _check_results(options: Options, own: Iterable[Result]) -> None:
    if options.results is not None:
        results_file.check_replaceable(options.results, own)


def _clear_results(options: Options) -> None:
    """Removes a file of results that is to be replaced.

    When there are images again where those of an undone run had been, it would seem to be needed.
    """
    if options.results is None or options.dry_run:
        return
    try:
        options.results.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"--results={options.results} cannot be written over: {error.strerror}; "
            "name another file"
        ) from error


def _results(journal: Journal) -> Iterator[Result]:
    return results_file.results_of(journal.outcomes(), journal.run or {}, journal.labels)


def _stopped(why: str, what_to_do: str, journal: Journal) -> str:
    if journal.run and journal.run["dry_run"]:
        return f"{why}; nothing was changed"
    if not journal.position and not journal.pending:
        return f"{why}; nothing was filed"
    return (
        f"{why}; {journal.position} of {journal.total} images are done: {what_to_do} the same "
        f"command again to go on, or put them back with --undo={journal.path}"
    )


def _leave_nothing(journal: Journal) -> None:
    journal.remove()
    with contextlib.suppress(OSError):  # There are other things in it.
        journal.path.parent.rmdir()


def _finish(journal: Journal, options: Options) -> Summary:
    """Counts what became of the images, and writes it where that is wanted."""
    summary = Summary()
    counted = summary.counting(_results(journal))
    if options.results is None:
        for _ in counted:
            pass
    else:
        # Another run may have written it meanwhile.
        _check_results(options, _results(journal))
        with atomic_file(options.results) as temporary:
            format_ = options.results.suffix.lower()
            results_file.write(temporary, format_, counted, journal.labels)
    return summary


class _Filing:
    """The work between the first plan of a journal and the last."""

    def __init__(self, journal: Journal, options: Options, classifier: Classifier) -> None:
        self._journal = journal
        self._options = options
        self._classifier = classifier
        self._free_names = FreeNames(options.target)
        reserved = (UNSURE,) if options.unsure_below else ()
        self._categories = safe_and_distinct(dict.fromkeys(classifier.labels), reserved)

    def run(self) -> None:
        """Finishes what is pending, and files all images that are not done."""
        if self._journal.pending:
            self._done(self._place(self._journal.pending, again=True))
        left = self._journal.total - self._journal.position
        # While a batch waits for the disk, the next one is being classified.
        with ProgressBar(left, "Guessed") as progress, ThreadPoolExecutor(1) as filer:
            under_way: Future[int] | None = None
            for batch in batches(self._answers(), _BATCH):
                if under_way:
                    progress.add(under_way.result())
                under_way = filer.submit(self._file, batch)
            if under_way:
                progress.add(under_way.result())

    def _answers(self) -> Iterator[_Answer]:
        names, again = tee(self._journal.names())
        answers = self._classifier.classify(self._options.source / name for name in again)
        return zip(names, answers, strict=True)

    def _file(self, answers: Sequence[_Answer]) -> int:
        """Files a batch; returns how many images it has."""
        self._journal.plan([self._plan(name, answer) for name, answer in answers])
        self._done(self._place(self._journal.pending))
        return len(answers)

    def _plan(self, name: str, answer: Prediction | UnreadableImage) -> Plan:
        if isinstance(answer, UnreadableImage):
            logging.warning("%s cannot be labelled: %s", self._options.source / name, answer.reason)
            return Plan(name, error=answer.reason)
        label, score = answer.ranked[0]
        scores: tuple[float, ...] = ()
        if self._options.results is not None:
            by_label = dict(answer.ranked)
            scores = tuple(round(by_label[each], _DIGITS) for each in self._classifier.labels)
        target = self._free_names.take(self._wanted_name(name, label, score))
        if self._options.dry_run:
            line = f"{self._options.source / name} -> {self._options.target / target}"
            print(one_line(line))
        return Plan(name, target, label, round(score, _DIGITS), scores=scores)

    def _wanted_name(self, name: str, label: str, score: float) -> str:
        category = self._categories[label]
        base = Path(name)
        if self._options.by_folder:
            wanted = f"{category}/{base.name}"
        else:
            wanted = f"{category}-{score:.5f}{base.suffix}"
        return f"{UNSURE}/{wanted}" if score < self._options.unsure_below else wanted

    def _place(self, plans: Sequence[Plan], again: bool = False) -> dict[int, str]:
        """Puts images where the plans say; returns why others stay where they are."""
        if self._options.dry_run:
            return {}
        numbers = [number for number, plan in enumerate(plans) if plan.target is not None]
        placings = [
            Placing(self._options.source / plan.image, self._options.target / plan.target)
            for plan in plans
            if plan.target is not None
        ]
        place = filing.finish_all if again else filing.place_all
        failed = place(placings, self._options.how)
        for number, reason in failed.items():
            logging.warning("%s is not filed: %s", placings[number].source, reason)
        return {numbers[number]: reason for number, reason in failed.items()}

    def _done(self, failed: dict[int, str]) -> None:
        self._journal.done(failed)
        if not self._options.dry_run:
            self._free_names.forget_given()
