"""Serves files on this machine like the sites from which networks are downloaded."""

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field


def etag_header(content: bytes) -> dict[str, str]:
    """Returns a strong ETag header, which identifies the content."""
    return {"ETag": f'"{hashlib.md5(content).hexdigest()}"'}


@dataclass
class FileServer:
    """The files and the behaviour of a server, and the requests that it got.

    Attributes:
        files: Content of each file by its path, which begins with a slash. Paths that end in a
            slash are HTML pages.
        url: Address of the server, without a slash at the end.
        break_off_after: Number of bytes of a response after which the connection breaks; None for
            whole responses.
        supports_ranges: Whether the server can send a part of a file.
        version_headers: Function from the content of a file to the headers that identify its
            version.
        supports_if_range: Whether the server checks the version before it sends a part.
        requests: Path and Range header of each request; None without the header.
    """

    files: Mapping[str, bytes]
    url: str = ""
    break_off_after: int | None = None
    supports_ranges: bool = True
    version_headers: Callable[[bytes], Mapping[str, str]] = etag_header
    supports_if_range: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)


@contextlib.contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[FileServer]:
    """Yields a server that runs in threads of this process."""
    state = FileServer(files)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            range_header = self.headers.get("Range")
            state.requests.append((self.path, range_header))
            content = state.files.get(self.path)
            if content is None:
                return self.send_error(404)
            start = 0
            if range_header:
                start = int(range_header.removeprefix("bytes=").removesuffix("-"))
            version = state.version_headers(content)
            is_unchanged = self.headers.get("If-Range") in (None, *version.values())
            sends_part = is_unchanged or not state.supports_if_range
            if start and state.supports_ranges and sends_part:
                if start >= len(content):
                    return self.send_error(416)
                self.send_response(206)
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            else:
                start = 0
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - start))
            for name, value in version.items():
                self.send_header(name, value)
            if self.path.endswith("/"):
                self.send_header("Content-Type", "text/html")
            self.end_headers()
            # The client can close the connection early.
            with contextlib.suppress(ConnectionError):
                self.wfile.write(content[start:][: state.break_off_after])
            return None

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
