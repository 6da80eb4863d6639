"""Reads HTTP requests, and refuses those that are too large or ambiguous.

If a proxy and the server could read a request differently, a client could hide a second request in
it: https://www.rfc-editor.org/rfc/rfc9112#name-request-smuggling
"""

import asyncio
import re
from collections.abc import Callable
from http import HTTPStatus

import h11

MAX_HEAD_BYTES = 32_768

_PIECE_BYTES = 65_536
_HEAD_END = b"\r\n\r\n"
# A line that ends with a bare LF or contains a bare CR, and one that continues the line before it.
_ODD_LINE = re.compile(rb"(?<!\r)\n|\r(?!\n)|\n[ \t]")
_TARGET = re.compile(rb"/|https?://[^/?#]|\*\Z", re.IGNORECASE)
# The parser accepts spaces behind the size, and all characters in extensions.
_CHUNK_LINE = re.compile(rb"([0-9a-fA-F]{1,16})(?:;[\t\x20-\x7e]*)?\r\n")
# Each chunk of a body takes time, even if it has a single byte.
_FREE_CHUNKS = 1000
_BYTES_PER_CHUNK = 4096


class RefusedRequestError(Exception):
    """A request that the server refuses before the application gets it.

    Attributes:
        status: Status of the response.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class RequestReader:
    """Reads the requests of one connection.

    Attributes:
        is_head_request: Whether the method of the latest request is HEAD. Its response has no body.
    """

    def __init__(
        self, http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Creates a reader.

        Args:
            http: State of the HTTP protocol.
            reader: Stream whose limit is MAX_HEAD_BYTES.
            writer: Stream to ask the client for the body of a request.
        """
        self._http, self._reader, self._writer = http, reader, writer
        self.is_head_request = False

    async def read_head(self, max_body_bytes: int) -> h11.Request:
        """Returns the head of the next request.

        Raises:
            RefusedRequestError: If the request must be refused.
            EOFError: If the client has closed the connection.
        """
        self.is_head_request = False
        try:
            head = await self._reader.readuntil(_HEAD_END)
        except asyncio.LimitOverrunError as error:
            raise RefusedRequestError(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the headers of the request have more than {MAX_HEAD_BYTES:,} bytes",
            ) from error
        # Some clients send an empty line after a body.
        head = head.removeprefix(b"\r\n")
        if _ODD_LINE.search(head):
            raise _bad_request("a line of the headers does not end with CR LF")
        self._http.receive_data(head)
        request = self._next_event()
        if not isinstance(request, h11.Request):
            raise _bad_request("the headers are not complete")
        self.is_head_request = request.method == b"HEAD"
        if request.http_version not in (b"1.0", b"1.1"):
            raise _bad_request("only versions 1.0 and 1.1 of HTTP are supported")
        if ambiguity := _find_ambiguity(head, request):
            raise _bad_request(ambiguity)
        lengths = values(request, b"content-length")
        if lengths and int(lengths[0]) > max_body_bytes:
            raise too_large(max_body_bytes)
        return request

    async def read_body(self, request: h11.Request, hold: Callable[[bytes], None]) -> None:
        """Reads the body of a request.

        Args:
            request: Head of the request.
            hold: Called with each part of the body. It can raise RefusedRequestError.

        Raises:
            RefusedRequestError: If the request must be refused.
            EOFError: If the client has closed the connection.
        """
        event = self._receive(b"", hold)
        if isinstance(event, h11.EndOfMessage):
            return
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[], reason="Continue")
            self._writer.write(self._http.send(go_on) or b"")
        if values(request, b"transfer-encoding"):
            event = await self._read_chunks(hold)
        elif lengths := values(request, b"content-length"):
            event = await self._read_bytes(int(lengths[0]), hold)
        if not isinstance(event, h11.EndOfMessage):
            raise _bad_request("the body is not complete")

    async def _read_chunks(self, hold: Callable[[bytes], None]) -> object:
        """Reads a body in chunks up to its end, and nothing of the next request."""
        received = chunks = 0
        while size := _chunk_size(line := await self._read_line()):
            chunks += 1
            if chunks > _FREE_CHUNKS + received // _BYTES_PER_CHUNK:
                raise _bad_request("the chunks of the body are too small")
            self._receive(line, hold)
            await self._read_bytes(size, hold)
            self._receive(await self._reader.readexactly(2), hold)
            received += size
        end = line
        while line != b"\r\n":
            line = await self._read_line()
            end += line
            if len(end) > MAX_HEAD_BYTES:
                raise _bad_request(f"the end of the body has more than {MAX_HEAD_BYTES:,} bytes")
        return self._receive(end, hold)

    async def _read_bytes(self, count: int, hold: Callable[[bytes], None]) -> object:
        """Reads bytes of the body, and returns the event behind them."""
        event: object = None
        while count:
            data = await self._reader.read(min(_PIECE_BYTES, count))
            if not data:
                raise EOFError
            count -= len(data)
            event = self._receive(data, hold)
        return event

    async def _read_line(self) -> bytes:
        try:
            line = await self._reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError as error:
            raise _bad_request(f"a line has more than {MAX_HEAD_BYTES:,} bytes") from error
        # The parser also accepts lines that end with LF.
        if _ODD_LINE.search(line) or line[:1] in (b" ", b"\t"):
            raise _bad_request("a line between the chunks does not end with CR LF")
        return line

    def _receive(self, data: bytes, hold: Callable[[bytes], None]) -> object:
        """Passes data to the parser and `hold`, and returns the event behind it."""
        if data:
            self._http.receive_data(data)
        while isinstance(event := self._next_event(), h11.Data):
            hold(bytes(event.data))
        return event

    def _next_event(self) -> object:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            # Without the line itself, which the client knows.
            raise _bad_request(str(error).partition(": bytearray")[0]) from error


def too_large(max_body_bytes: int) -> RefusedRequestError:
    """Returns the error for a body that is too large."""
    return RefusedRequestError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the request has more than {max_body_bytes:,} bytes"
    )


def _bad_request(message: str) -> RefusedRequestError:
    return RefusedRequestError(HTTPStatus.BAD_REQUEST, f"bad request: {message}")


def _chunk_size(line: bytes) -> int:
    """Returns the size of a chunk, from the line before it."""
    match = _CHUNK_LINE.fullmatch(line)
    if not match:
        raise _bad_request("the size of a chunk is not a hexadecimal number")
    return int(match[1], base=16)


def _find_ambiguity(head: bytes, request: h11.Request) -> str | None:
    """Returns what the parser accepts, but others could read differently."""
    if not _TARGET.match(request.target):
        return "its target is neither a path nor a URL"
    # The parser drops lengths that are repeated.
    lines = [line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if line]
    names = [name for name, _ in lines]
    if b"transfer-encoding" in names and b"content-length" in names:
        return "it has both Content-Length and Transfer-Encoding"
    for name in (b"content-length", b"transfer-encoding"):
        if names.count(name) > 1 or any(b"," in value for other, value in lines if other == name):
            return f"it has several values of {name.decode()}"
    if b"transfer-encoding" in names and request.http_version != b"1.1":
        return "Transfer-Encoding needs version 1.1"
    # For the application, Content_Length would be the same header as Content-Length.
    odd = next((name for name in names if b"_" in name), None)
    return f"the name of the header {odd.decode()} has an underscore" if odd else None


def values(request: h11.Request, name: bytes) -> list[bytes]:
    """Returns the values of a header, whose name is in lower case."""
    return [value for other, value in request.headers if other == name]
