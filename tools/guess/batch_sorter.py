"""Classifies the images of a journal and transfers them in batches."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import tee
from pathlib import PurePath

from label_image.classifier import Classifier, Prediction, UnreadableImage
from label_image.formatting import rounded_familiarity
from retrain.system.batches import batches
from retrain.system.files.path_owners import find_intruder
from retrain.system.progress import ProgressBar
from retrain.system.text import one_line
from tools.guess import digests, transfer, transfer_batch
from tools.guess.errors import UnwritableError
from tools.guess.journal import Journal
from tools.guess.options import Options
from tools.guess.plan import Plan
from tools.guess.transfer import Transfer
from tools.guess.wanted_paths import WantedPaths
from tools.image_folders.safe_names import UnusedNames

# The images of a batch are transferred together, to wait for the disk only once.
_BATCH_SIZE = 64
_SCORE_DIGITS = 6

# The name of an image, relative to the source folder, and the result of the classifier.
_NamedResult = tuple[str, Prediction | UnreadableImage]


class BatchSorter:
    """Sorts the remaining images of a run and records the progress in its journal."""

    def __init__(self, journal: Journal, options: Options, classifier: Classifier) -> None:
        self._journal = journal
        self._options = options
        self._classifier = classifier
        self._unused_names = UnusedNames(options.target)
        self._known_folders: set[str] = set()
        self._wanted_paths = WantedPaths(options, classifier)

    def run(self) -> None:
        """Completes the pending batch, and then sorts all remaining images.

        Raises:
            UnwritableError: If the target folder or the journal cannot be written.
        """
        if self._journal.pending:
            self._transfer_pending(is_retry=True)
        remaining = self._journal.total - self._journal.num_done
        # The next batch is classified while the previous one is written to the disk.
        with ProgressBar(remaining, "Sorting") as progress, ThreadPoolExecutor(1) as writer:
            previous: Future[int] | None = None
            for batch in batches(self._classify(), _BATCH_SIZE):
                if previous:
                    progress.add(previous.result())
                previous = writer.submit(self._sort, batch)
            if previous:
                progress.add(previous.result())

    def _classify(self) -> Iterator[_NamedResult]:
        names, same_names = tee(self._journal.remaining_images())
        results = self._classifier.classify(self._options.source / name for name in same_names)
        return zip(names, results, strict=True)

    def _sort(self, batch: Sequence[_NamedResult]) -> int:
        """Transfers a batch; returns its size."""
        plans = [self._plan(name, result) for name, result in batch]
        self._journal.write_plans(plans, self._new_folders(plans))
        self._transfer_pending()
        return len(batch)

    def _plan(self, name: str, result: Prediction | UnreadableImage) -> Plan:
        path = self._options.source / name
        if isinstance(result, UnreadableImage):
            logging.warning("%s cannot be labelled: %s", path, result.reason)
            return Plan(name, error=result.reason)
        label, score = result.ranked[0]
        scores: tuple[float, ...] = ()
        if self._options.results is not None:
            by_label = dict(result.ranked)
            scores = tuple(round(by_label[each], _SCORE_DIGITS) for each in self._classifier.labels)
        target = self._unused_names.reserve(self._wanted_paths.path(name, result))
        if self._options.dry_run:
            print(one_line(f"{path} -> {self._options.target / target}"))
        digest = None
        if not self._options.dry_run:
            digest = digests.of_image(path, moves=self._options.operation == transfer.MOVE)
        familiarity = result.familiarity
        return Plan(
            name,
            target,
            label,
            round(score, _SCORE_DIGITS),
            scores=scores,
            digest=digest,
            familiarity=None if familiarity is None else rounded_familiarity(familiarity),
            is_unknown=result.is_unknown,
        )

    def _new_folders(self, plans: Sequence[Plan]) -> list[str]:
        """Returns the subfolders of the target folder that the plans require and do not exist.

        Raises:
            UnwritableError: If another user put one into a folder that everyone can write to.
        """
        parents = {
            str(folder)
            for plan in plans
            if plan.target is not None
            for folder in PurePath(plan.target).parents
        }
        new = []
        for folder in sorted(parents - {"."} - self._known_folders):
            path = self._options.target / folder
            if reason := find_intruder(path):
                raise UnwritableError(reason)
            if not path.exists():
                new.append(folder)
        self._known_folders |= parents
        return new

    def _transfer_pending(self, *, is_retry: bool = False) -> None:
        """Executes the pending plans and records that they are done.

        Args:
            is_retry: Whether an earlier run was interrupted while it executed the plans.
        """
        failures: dict[int, str] = {}
        if not self._options.dry_run:
            failures = self._transfer(self._journal.pending, is_retry=is_retry)
        self._journal.write_done(failures)
        if not self._options.dry_run:
            self._unused_names.release_all()

    def _transfer(self, plans: Sequence[Plan], *, is_retry: bool) -> dict[int, str]:
        """Transfers images; returns the reason for each failure by the index of its plan."""
        indices = [index for index, plan in enumerate(plans) if plan.target is not None]
        transfers = [
            Transfer(self._options.source / plan.image, self._options.target / plan.target)
            for plan in plans
            if plan.target is not None
        ]
        execute = transfer_batch.resume_all if is_retry else transfer_batch.transfer_all
        failures = execute(transfers, self._options.operation)
        for index, reason in failures.items():
            logging.warning("%s was not sorted: %s", transfers[index].source, reason)
        return {indices[index]: reason for index, reason in failures.items()}
