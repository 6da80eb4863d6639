"""Classifies the images of a journal and transfers them in batches."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import tee

from label_image.classifier import Classifier, Prediction, UnreadableImage
from label_image.formatting import rounded_familiarity
from retrain.system.batches import batches
from retrain.system.progress import ProgressBar
from retrain.system.text import one_line
from tools.guess.options import Options
from tools.guess.wanted_paths import WantedPaths
from tools.image_folders.safe_names import UnusedNames
from tools.transfers import digests, transfer
from tools.transfers.journal import Journal
from tools.transfers.journaled_batches import JournaledBatches
from tools.transfers.plan import Plan

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
        self._wanted_paths = WantedPaths(options, classifier)
        self._batches = JournaledBatches(journal, options.source, options.target, options.operation)

    def run(self) -> None:
        """Completes the pending batch, and then sorts all remaining images.

        Raises:
            UnwritableError: If the target folder or the journal cannot be written.
        """
        self._batches.complete()
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
        if self._options.dry_run:
            self._journal.write_plans(plans)
            self._journal.write_done({})
        else:
            self._batches.transfer(plans)
            self._unused_names.release_all()
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
        digest = None
        if self._options.dry_run:
            print(one_line(f"{path} -> {self._options.target / target}"))
        else:
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
