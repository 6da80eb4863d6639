"""The errors of transferring images."""


class TransferError(Exception):
    """One image cannot be transferred. The message says why."""


class UnwritableError(Exception):
    """A target folder cannot be written, so that the run must stop. The message says why."""
