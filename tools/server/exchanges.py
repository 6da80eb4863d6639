"""Reads the requests of one connection, calls the application, and writes the responses."""

import asyncio
import contextlib
import email.utils
import logging
from http import HTTPStatus

import h11

from tools.server import requests, responses
from tools.server.clients import client_key
from tools.server.connections import Connection, State
from tools.server.held_bytes import Holding
from tools.server.requests import RefusedRequestError, RequestReader
from tools.server.responses import Response
from tools.server.web_site import Site

_PIECE_BYTES = 65_536


class Exchanges:
    """The requests and responses of one connection, one after the other.

    While a request is answered, the next ones stay in the buffers of the connection.
    """

    def __init__(
        self,
        site: Site,
        connection: Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._site, self._connection = site, connection
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER, requests.MAX_HEAD_BYTES)
        self._requests = RequestReader(self._http, reader, writer)
        # A write ends when the kernel has all data.
        writer.transport.set_write_buffer_limits(0)

    async def run(self) -> None:
        """Answers requests until one side closes the connection."""
        # The client can close the connection at any time.
        with contextlib.suppress(OSError, EOFError):
            try:
                while await self._exchange():
                    self._http.start_next_cycle()
            except RefusedRequestError as error:
                await self._refuse(error)

    async def _exchange(self) -> bool:
        """Answers the next request, and returns whether there can be another one."""
        connection, site = self._connection, self._site
        connection.wait_for(State.HEAD)
        request = await self._requests.read_head(site.limits.body_bytes)
        connection.wait_for(State.BODY)
        forwarded_for = b",".join(requests.values(request, b"x-forwarded-for"))
        client = site.clients.resolve(connection.peer, forwarded_for.decode("latin1"))
        holding = Holding(connection, client_key(client))
        try:
            response = await self._answer(request, holding, client)
            site.held.release(holding)
            if not site.held.add(holding, len(response.body)):
                raise _too_much_data()
            await self._write(response, is_last=site.stopping)
        finally:
            site.held.release(holding)
        return self._http.our_state is h11.DONE

    async def _answer(self, request: h11.Request, holding: Holding, client: str) -> Response:
        body = await self._read_body(request, holding)
        self._connection.wait_for(State.ANSWER)
        return await self._site.respond(
            holding.key,
            request.method,
            lambda: responses.call(self._site.app, request, body, client=client),
        )

    async def _read_body(self, request: h11.Request, holding: Holding) -> bytes:
        body = bytearray()  # A list would take 20 times the memory if the pieces are tiny.

        def hold(data: bytes) -> None:
            if self._writer.transport.is_closing():
                raise EOFError  # The rest of what has arrived does not matter any more.
            body.extend(data)
            self._connection.moved_bytes += len(data)
            if self._connection.moved_bytes > self._site.limits.body_bytes:
                raise requests.too_large(self._site.limits.body_bytes)
            if not self._site.held.add(holding, len(data)):
                raise _too_much_data()

        try:
            await self._requests.read_body(request, hold)
            return bytes(body)
        finally:
            body.clear()  # Otherwise, the traceback of an exception would keep them.

    async def _write(self, response: Response, *, is_last: bool) -> None:
        self._connection.wait_for(State.READER)
        headers = [*response.headers, ("Date", email.utils.formatdate(usegmt=True))]
        if is_last:
            headers.append(("Connection", "close"))
        head = h11.Response(
            status_code=response.status,
            headers=headers,
            reason=HTTPStatus(response.status).phrase,
        )
        data = self._http.send(head) or b""
        body = b"" if self._requests.is_head_request else response.body
        for start in range(0, len(body), _PIECE_BYTES):
            piece = body[start : start + _PIECE_BYTES]
            self._writer.write(data + (self._http.send(h11.Data(data=piece)) or b""))
            data = b""
            await self._writer.drain()
            self._connection.moved_bytes += len(piece)
        self._writer.write(data + (self._http.send(h11.EndOfMessage()) or b""))
        await self._writer.drain()

    async def _refuse(self, error: RefusedRequestError) -> None:
        """Says why a request is refused, and drops what the client still sends.

        Closing the connection with unread data would reset it, and the client might never see the
        response.
        """
        logging.info('%s refused: %d "%s"', self._connection.peer, error.status, error)
        await self._write(responses.of_refusal(error), is_last=True)
        self._connection.wait_for(State.REFUSED)
        self._writer.write_eof()
        while await self._reader.read(_PIECE_BYTES):
            pass


def _too_much_data() -> RefusedRequestError:
    return RefusedRequestError(
        HTTPStatus.SERVICE_UNAVAILABLE, "the server is receiving too much data; try again later"
    )
