"""Generates requests of hostile clients: malformed, oversized, or expensive to answer."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image
from pillow_heif import register_heif_opener

register_heif_opener()

_HEAD = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {}\r\n{}\r\n\r\n"
_TYPES = (
    "image/jpeg",
    "image/",
    "image/png; charset=\udcff",
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=" + "b" * 300,
    "multipart/mixed; boundary=b",
    "text/html",
    "/",
    "",
)
_LINES = (
    "GET /../../etc/passwd HTTP/1.1",
    "GET /static/../../app.py HTTP/1.1",
    "GET /static/%2e%2e/%2e%2e/serve.py HTTP/1.1",
    "GET /%00 HTTP/1.1",
    "GET /%ff%fe HTTP/1.1",
    "GET http://other.example/ HTTP/1.1",
    "GET //other.example/%2e%2e HTTP/1.1",
    "GET / HTTP/9.9",
    "GET /",
    "get / http/1.1",
    "TRACE / HTTP/1.1",
    "CONNECT x:443 HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "DELETE /labels HTTP/1.1",
    "A" * 300 + " / HTTP/1.1",
    "POST /?top=" + "9" * 5000 + " HTTP/1.1",
    "POST /?top=%D9%A3 HTTP/1.1",
    "GET /?" + "a=b&" * 3000 + " HTTP/1.1",
    "HEAD /metrics HTTP/1.1",
)
_HEADERS = (
    "Content-Length: -1",
    "Content-Length: 1e3",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 99999999999999999999",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: chunked\r\nContent-Length: 3",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: \tchunked\x0b",
    "Content_Length: 3",
    "Expect: 200-ok",
    "Accept: " + "text/html;q=0.5, " * 500,
    "Accept: ;;;q=x, */",
    "Cookie: " + "c=" * 8000,
    "Range: bytes=0-" + "0,-1," * 900,
    "If-None-Match: " + '"' * 999,
    "If-Modified-Since: yesterday",
    "X\r\n folded: y",
    "X: " + "x" * 40_000,
    "\r\n".join(f"X{i}: y" for i in range(2_500)),
)


def _odd(head: str, body: str = "") -> bytes:
    return f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n{head}\r\n\r\n{body}".encode()


# Requests that a proxy and the server could read differently.
AMBIGUOUS = {
    "length_and_chunks": _odd("Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\nG"),
    "chunks_and_length": _odd("Transfer-Encoding: chunked\r\nContent-Length: 6", "0\r\n\r\nG"),
    "chunked_twice": _odd("Transfer-Encoding: chunked, chunked", "0\r\n\r\n"),
    "two_encodings": _odd("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n"),
    "other_encoding": _odd("Transfer-Encoding: xchunked", "0\r\n\r\n"),
    "underscore": _odd("Content_Length: 3", "abc"),
    "two_lengths": _odd("Content-Length: 3\r\nContent-Length: 4", "abcd"),
    "same_length_twice": _odd("Content-Length: 3\r\nContent-Length: 3", "abc"),
    "list_of_lengths": _odd("Content-Length: 3, 3", "abc"),
    "sign_in_length": _odd("Content-Length: +3", "abc"),
    "underscore_in_length": _odd("Content-Length: 1_0", "0123456789"),
    "continued_line": _odd("X: a\r\n Content-Length: 3", "abc"),
    "bare_lf": _odd("X: a\nContent-Length: 3", "abc"),
    "bare_cr": _odd("X: a\rContent-Length: 3", "abc"),
    "space_before_colon": _odd("Content-Length : 3", "abc"),
    "no_colon": _odd("Content-Length 3", "abc"),
    "other_version": b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "no_host": b"GET / HTTP/1.1\r\n\r\n",
    "two_hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "chunks_in_http_1_0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk_size_with_sign": _odd("Transfer-Encoding: chunked", "+1\r\na\r\n0\r\n\r\n"),
    "chunk_size_with_prefix": _odd("Transfer-Encoding: chunked", "0x1\r\na\r\n0\r\n\r\n"),
    "chunk_size_with_underscore": _odd("Transfer-Encoding: chunked", "1_0\r\na\r\n"),
    "chunk_without_line_end": _odd("Transfer-Encoding: chunked", "1\r\nab\r\n0\r\n\r\n"),
    "chunk_size_with_spaces": _odd("Transfer-Encoding: chunked", "1 \r\na\r\n0\r\n\r\n"),
    "chunk_size_before_lf": _odd("Transfer-Encoding: chunked", "1\na\n0\n\n\r\n0\r\n\r\n"),
    "cr_in_chunk_extension": _odd("Transfer-Encoding: chunked", "1;a\rb\r\na\r\n0\r\n\r\n"),
    "lf_in_chunk_extension": _odd("Transfer-Encoding: chunked", "1;a\nb\r\na\r\n0\r\n\r\n"),
    "chunks_that_end_with_lf": _odd("Transfer-Encoding: chunked", "1\r\na\r\n0\r\n\n"),
    "trailer_that_ends_with_lf": _odd("Transfer-Encoding: chunked", "0\r\nX: y\n\n"),
    "trailer_with_lf": _odd("Transfer-Encoding: chunked", "0\r\nX: y\nZ: z\r\n\r\n"),
    "continued_trailer": _odd("Transfer-Encoding: chunked", "0\r\nX: y\r\n z\r\n\r\n"),
    "endless_trailer": _odd("Transfer-Encoding: chunked", "0\r\n" + "X: y\r\n" * 9_000),
    "target_without_slash": b"GET labels HTTP/1.1\r\nHost: x\r\n\r\n",
    "target_of_other_scheme": b"GET ftp://x/labels HTTP/1.1\r\nHost: x\r\n\r\n",
    "target_of_tunnel": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "version_1_9": b"GET / HTTP/1.9\r\nHost: x\r\n\r\n",
}


def requests(seed: int) -> Iterator[bytes]:
    """Yields requests without end. Each is meant for a connection of its own."""
    rng = random.Random(seed)
    makers = _makers(rng)
    while True:
        yield rng.choice(makers)()


def _makers(rng: random.Random) -> list[Callable[[], bytes]]:
    images, bombs = _images(), _bombs()

    def noise(max_size: int) -> bytes:
        return rng.randbytes(rng.randrange(max_size))

    def damage(data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(rng.randrange(1, 20)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed[: rng.randrange(len(changed))] if rng.random() < 0.3 else changed)

    def damaged_image() -> bytes:
        return damage(rng.choice(images))

    def image_request(data: bytes) -> bytes:
        return _post(data, "image/png")

    def odd_head() -> bytes:
        lines = [rng.choice(_LINES), "Host: x", "Connection: close", rng.choice(_HEADERS)]
        return "\r\n".join([*lines, "", ""]).encode() + noise(50)

    def truncated_request() -> bytes:
        whole = image_request(rng.choice(images))
        return whole[: rng.randrange(1, len(whole))]

    def odd_chunks() -> bytes:
        head = _HEAD.format("image/png", "Transfer-Encoding: chunked").encode()
        size = rng.choice([b"5", b"-5", b"FFFFFFFFFFFF", b"5;x=" + b"y" * 999, b"", b"zz"])
        return head + size + b"\r\n" + noise(99) + rng.choice([b"\r\n0\r\n\r\n", b""])

    def odd_form() -> bytes:
        name = rng.choice(["image", "", "image\0", "x" * 5000, '"; name="', "é\udcff", "../../a"])
        part = (
            f'--b\r\nContent-Disposition: form-data; name="{rng.choice(["image", "x", name])}"; '
            f'filename="{name}"\r\nContent-Type: {rng.choice(_TYPES)}\r\n\r\n'
        ).encode(errors="surrogateescape")
        body = (part + damaged_image() + b"\r\n") * rng.choice([1, 2, 130]) + b"--b--\r\n"
        return _post(
            damage(body) if rng.random() < 0.5 else body, "multipart/form-data; boundary=b"
        )

    return [
        lambda: noise(2_000) + b"\r\n\r\n",
        lambda: image_request(noise(2_000)),
        lambda: image_request(damaged_image()),
        lambda: image_request(rng.choice(bombs)),
        lambda: _post(damaged_image(), rng.choice(_TYPES)),
        lambda: damage(image_request(rng.choice(images))),
        truncated_request,
        odd_head,
        odd_chunks,
        odd_form,
    ]


def _post(body: bytes, content_type: str) -> bytes:
    return (
        _HEAD.format(content_type, f"Content-Length: {len(body)}").encode(errors="surrogateescape")
        + body
    )


def _images() -> list[bytes]:
    noisy = Image.frombytes("RGB", (64, 48), random.Random(0).randbytes(64 * 48 * 3))
    rotated = Image.Exif()
    rotated[0x0112] = 6
    options: list[dict[str, Any]] = [
        {"format": "JPEG", "exif": rotated},
        {"format": "JPEG", "progressive": True},
        {"format": "PNG"},
        {"format": "BMP"},
        {"format": "GIF"},
        {"format": "WEBP"},
        {"format": "WEBP", "lossless": True},
        {"format": "HEIF"},
        {"format": "AVIF"},
    ]
    files = []
    for option in options:
        file = io.BytesIO()
        noisy.save(file, **option)
        files.append(file.getvalue())
    return files


def _bombs() -> list[bytes]:
    """Returns small files that would unpack to gigabytes or take hours to decode."""
    progressive = _images()[1]
    last = progressive.rindex(b"\xff\xda")
    flat = io.BytesIO()
    Image.new("1", (6_000, 6_000)).save(flat, "PNG")  # Slightly below the limit of the server.
    return [
        flat.getvalue(),
        _png(60_000, 60_000, _chunk(b"IDAT", zlib.compress(bytes(10_000_000), 9))),
        _png(8, 8, _chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(50_000_000), 9))),
        _png(8, 8, _chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(50_000_000), 9))),
        b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0) + bytes(6) + b";",
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 60_000, 60_000, 1, 24, *[0] * 6),
        b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x11\0\x02\x11\0\x03\x11\0\xff\xd9",
        b"RIFF\x20\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f" + bytes(20),
        progressive[:last] + 500 * progressive[last:-2] + progressive[-2:],
    ]


def _png(width: int, height: int, chunk: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + chunk + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
