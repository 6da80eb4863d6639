"""Calls a WSGI application, and represents its responses."""

import io
import re
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import h11
from werkzeug.test import run_wsgi_app

from tools.server import http_errors
from tools.server.requests import RefusedRequestError

_ABSOLUTE_TARGET = re.compile(rb"https?://([^/?#]+)", re.IGNORECASE)


class Response(NamedTuple):
    """A response to a request.

    Attributes:
        status: Status code.
        headers: Names and values.
        body: Body of the response.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def call(app: Callable[..., Any], request: h11.Request, body: bytes, *, client: str) -> Response:
    """Returns the response of a WSGI application.

    Args:
        app: WSGI application.
        request: Head of the request.
        body: Body of the request.
        client: Address of the client.
    """
    environ = _environ(request, body, client=client)
    pieces, status, headers = run_wsgi_app(app, environ, buffered=True)
    return Response(int(status.split()[0]), list(headers), b"".join(pieces))


def of_refusal(error: RefusedRequestError) -> Response:
    """Returns the response to a request that the application does not get."""
    body = http_errors.as_json(error.status, str(error))
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", str(http_errors.RETRY_AFTER)))
    return Response(error.status, headers, body)


def _environ(request: h11.Request, body: bytes, *, client: str) -> dict[str, Any]:
    """Returns the description of a request by PEP 3333."""
    headers: dict[str, str] = {}
    for name, value in ((name.decode(), value.decode("latin1")) for name, value in request.headers):
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    # For the application, a chunked body is like any other.
    headers.pop("transfer-encoding", None)
    target = request.target
    if absolute := _ABSOLUTE_TARGET.match(target):
        headers["host"] = absolute[1].decode("latin1")
        target = target[absolute.end() :]
    path, _, query = target.partition(b"?")
    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return environ | {
        "REQUEST_METHOD": request.method.decode(),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path or b"/").decode("latin1"),
        "QUERY_STRING": query.decode("latin1"),
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": client,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": f"HTTP/{request.http_version.decode()}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
