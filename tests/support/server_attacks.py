"""Attacks a server with many connections that send too much, too little or too slowly."""

import asyncio
import base64
import contextlib
import io
import multiprocessing
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

from PIL import Image

_Behaviour = Callable[[socket.socket], Awaitable[None]]

_GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_POST = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {}\r\n{}\r\n\r\n"
# States of a connection that the other side has closed, from Linux's net/tcp_states.h.
_CLOSED_STATES = {7, 8}


class Attack(NamedTuple):
    """One kind of attack.

    Attributes:
        connections: Number of connections. When the server closes one, the attacker opens another.
        behave: Coroutine function that uses one connection.
    """

    connections: int
    behave: _Behaviour


@contextlib.contextmanager
def running(
    name: str, port: int, *, source: str = "127.0.0.1", max_connections: int | None = None
) -> Iterator[None]:
    """Runs the attack of ATTACKS in another process until the end of the block.

    Args:
        name: Key of ATTACKS.
        port: Port of the server on this machine.
        source: Address that the connections come from.
        max_connections: Maximum number of connections, None for those of the attack.
    """
    process = multiprocessing.get_context("spawn").Process(
        target=_run, args=(name, port, source, max_connections), daemon=True
    )
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _run(name: str, port: int, source: str, max_connections: int | None) -> None:
    attack = ATTACKS[name]
    if max_connections is not None:
        attack = attack._replace(connections=min(attack.connections, max_connections))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_attack(attack, port, source))


async def _attack(attack: Attack, port: int, source: str) -> None:
    async def attacker() -> None:
        while True:
            with contextlib.suppress(OSError):
                await _use_one_connection(attack.behave, port, source)
            await asyncio.sleep(0.01)

    await asyncio.gather(*(attacker() for _ in range(attack.connections)))


async def _use_one_connection(behave: _Behaviour, port: int, source: str) -> None:
    with socket.socket() as connection:
        # A large buffer would read for the attacker.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        connection.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        behaviour = asyncio.ensure_future(behave(connection))
        try:
            while not behaviour.done() and not _is_closed(connection):
                await asyncio.wait([behaviour], timeout=0.2)
        finally:
            behaviour.cancel()
            await asyncio.gather(behaviour, return_exceptions=True)


def _is_closed(connection: socket.socket) -> bool:
    tcp_info = getattr(socket, "TCP_INFO", None)
    if tcp_info is None:  # Not Linux: the next write fails instead.
        return False
    return connection.getsockopt(socket.IPPROTO_TCP, tcp_info, 1)[0] in _CLOSED_STATES


def _send_and_stay(data: bytes) -> _Behaviour:
    async def behave(connection: socket.socket) -> None:
        await asyncio.get_running_loop().sock_sendall(connection, data)
        await asyncio.Event().wait()

    return behave


def _drip(start: bytes, piece: bytes, seconds: float) -> _Behaviour:
    async def behave(connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, start)
        while True:
            await asyncio.sleep(seconds)
            await loop.sock_sendall(connection, piece)

    return behave


def _repeat(data: bytes) -> _Behaviour:
    """Sends the same data again and again, and reads all answers at the same time."""

    async def behave(connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()

        async def read() -> None:
            while await loop.sock_recv(connection, 65_536):
                pass

        reader = asyncio.ensure_future(read())
        try:
            while not reader.done():
                await loop.sock_sendall(connection, data)
                await asyncio.sleep(0)
        finally:
            reader.cancel()

    return behave


def _read_slowly(data: bytes) -> _Behaviour:
    async def behave(connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, data)
        while await loop.sock_recv(connection, 100):
            await asyncio.sleep(0.5)

    return behave


async def _close(_: socket.socket) -> None:
    pass


def _post(content_type: str, body: bytes) -> bytes:
    return _POST.format(content_type, f"Content-Length: {len(body)}").encode() + body


def _form_of_many_images() -> bytes:
    """Returns a request of 18 kB whose answer has the labels of 100 images."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG")
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="i"\r\n\r\n'
    body = 100 * (part + file.getvalue() + b"\r\n") + b"--b--\r\n"
    return _post("multipart/form-data; boundary=b", body)


def _large_image() -> bytes:
    """Returns a request of 150 kB with an image of 49 megapixels."""
    side = 7000
    compressor = zlib.compressobj(9)
    rows = b"".join(compressor.compress(bytes(1 + 3 * side)) for _ in range(side))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", rows + compressor.flush()),
        (b"IEND", b""),
    ]
    encoded = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return _post("image/png", b"\x89PNG\r\n\x1a\n" + encoded)


def _attacks() -> dict[str, Attack]:
    chunked = _POST.format("image/png", "Transfer-Encoding: chunked").encode()
    announced = _POST.format("image/png", "Content-Length: 20000000").encode()
    small = _POST.format("image/png", "Content-Length: 20000").encode()
    long_head = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + base64.b64encode(bytes(300_000))
    return {
        "pipelined requests, nothing read": Attack(
            498, _send_and_stay(_GET * (9_000 // len(_GET)))
        ),
        "64 kB pipelined, nothing read": Attack(44, _send_and_stay(_GET * (64_000 // len(_GET)))),
        "bodies announced, nothing sent": Attack(16, _send_and_stay(announced)),
        "bodies never finished": Attack(40, _send_and_stay(announced + bytes(19_900_000))),
        "slow heads": Attack(520, _drip(_GET[:20], b"X", 1)),
        "slow bodies": Attack(520, _drip(small, b"X", 1)),
        "slow chunks": Attack(520, _drip(chunked, b"1\r\nX\r\n", 0.5)),
        "idle connections": Attack(520, _send_and_stay(_GET)),
        "connection flood": Attack(20, _close),
        "tiny requests": Attack(100, _repeat(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50)),
        "large heads": Attack(100, _send_and_stay(long_head)),
        "large answers, read slowly": Attack(100, _read_slowly(_form_of_many_images())),
        "large images": Attack(60, _repeat(_large_image())),
    }


ATTACKS = _attacks()
