"""The error for image files that cannot be decoded."""

import contextlib
from collections.abc import Iterator


class UnreadableImageError(Exception):
    """The data is not a usable image. The message gives the reason, without a file name."""


@contextlib.contextmanager
def refuse_without_memory() -> Iterator[None]:
    """Turns a lack of memory into a refusal of the image."""
    try:
        yield
    except MemoryError as error:
        raise UnreadableImageError("it needs more memory than is available") from error
