"""Reads the files of a form, within limits."""

import re
from collections.abc import Iterator

from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, State

# Other fields and empty ones count, too.
MAX_PARTS = 120
# For example, of the name of a file. The decoder itself has no limit: millions of headers would
# take seconds and a gigabyte.
_MAX_HEAD_BYTES = 4096
# Some clients end lines with LF or CR.
_HEAD_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
# RFC 2046 allows 70.
_MAX_BOUNDARY = 200


def read_files(body: bytes, boundary: str, field: str) -> Iterator[tuple[str, bytes]]:
    """Yields the name and the content of each file in a form (multipart/form-data).

    Args:
        body: The form.
        boundary: Line between its parts.
        field: Name of the field with the files.

    Raises:
        BadRequest: If the form is damaged.
        RequestEntityTooLarge: If it has too many parts, or a part has too long headers.
    """
    if not boundary.isascii() or not 0 < len(boundary) <= _MAX_BOUNDARY:
        raise BadRequest(
            f"the content type of a form must have a boundary of 1 to {_MAX_BOUNDARY} characters"
        )
    part: File | Field | None = None
    for event in _events(body, boundary):
        if isinstance(event, File | Field):
            part = event
        elif isinstance(event, Data) and isinstance(part, File) and part.name == field:
            yield part.filename, event.data


def _events(body: bytes, boundary: str) -> Iterator[object]:
    # If the decoder got the body in pieces, it could add a byte to a file whose end is in two.
    decoder = MultipartDecoder(boundary.encode())
    decoder.receive_data(body)
    decoder.receive_data(None)
    parts = 0
    try:
        while not isinstance(event := decoder.next_event(), Epilogue):
            yield event
            if decoder.state is not State.PART:
                continue
            parts += 1
            if parts > MAX_PARTS:
                raise RequestEntityTooLarge(f"the form has more than {MAX_PARTS} parts")
            is_long = len(decoder.buffer) > _MAX_HEAD_BYTES
            if is_long and not _HEAD_END.search(decoder.buffer, 0, _MAX_HEAD_BYTES):
                raise RequestEntityTooLarge(
                    f"the headers of part {parts} of the form, such as a file name, have no end "
                    f"within {_MAX_HEAD_BYTES:,} bytes"
                )
    except ValueError as error:
        raise BadRequest("the form is damaged, or its end is missing") from error
