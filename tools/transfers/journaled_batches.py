"""Transfers batches of images so that a journal always says what was done or begun."""

import logging
from collections.abc import Sequence
from pathlib import Path, PurePath

from retrain.system.files.path_owners import find_intruder
from tools.transfers import transfer_batch
from tools.transfers.errors import UnwritableError
from tools.transfers.journal import Journal
from tools.transfers.plan import Plan
from tools.transfers.transfer import ACTIONS, Transfer


class JournaledBatches:
    """Transfers the images of a run, one batch after the other."""

    def __init__(self, journal: Journal, source: Path, target: Path, operation: str) -> None:
        """Does not transfer anything yet.

        Args:
            journal: Journal of the run.
            source: Folder of the images.
            target: Folder to which they are transferred.
            operation: `transfer.COPY`, `MOVE`, `HARD_LINK` or `SYMBOLIC_LINK`.
        """
        self._journal = journal
        self._source = source
        self._target = target
        self._operation = operation
        self._known_folders: set[str] = set()

    def transfer(self, plans: Sequence[Plan]) -> int:
        """Executes the plans for the next images; returns how many images were not transferred.

        Raises:
            UnwritableError: If the target folder or the journal cannot be written, or another user
                put a folder into the target folder.
        """
        self._journal.write_plans(plans, self._new_folders(plans))
        return self._execute(is_retry=False)

    def complete(self) -> None:
        """Executes the pending plans of an interrupted run again.

        Raises:
            UnwritableError: As for `transfer`.
        """
        if self._journal.pending:
            self._execute(is_retry=True)

    def _execute(self, *, is_retry: bool) -> int:
        transfers = {
            index: Transfer(self._source / plan.image, self._target / plan.target)
            for index, plan in enumerate(self._journal.pending)
            if plan.target is not None
        }
        execute = transfer_batch.resume_all if is_retry else transfer_batch.transfer_all
        failed = execute(list(transfers.values()), self._operation)
        for transfer, reason in failed.items():
            logging.warning("%s was not %s: %s", transfer.source, ACTIONS[self._operation], reason)
        self._journal.write_done(
            {index: failed[each] for index, each in transfers.items() if each in failed}
        )
        return len(failed)

    def _new_folders(self, plans: Sequence[Plan]) -> list[str]:
        """Returns the subfolders of the target folder that the plans require and do not exist."""
        parents = {
            str(folder)
            for plan in plans
            if plan.target is not None
            for folder in PurePath(plan.target).parents
        }
        new = []
        for folder in sorted(parents - {"."} - self._known_folders):
            path = self._target / folder
            if reason := find_intruder(path):
                raise UnwritableError(reason)
            if not path.exists():
                new.append(folder)
        self._known_folders |= parents
        return new
