"""The exception of the reference implementation."""


class UnsupportedOperationError(Exception):
    """The model has something that the reference does not support. The message names it."""
