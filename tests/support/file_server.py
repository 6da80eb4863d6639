"""Serves files on this machine as sites do that networks are downloaded from."""

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field


def tag(content: bytes) -> dict[str, str]:
    """Returns the header that tells this content from others."""
    return {"ETag": f'"{hashlib.md5(content).hexdigest()}"'}


@dataclass
class FileServer:
    """What a server has and what became of it.

    Attributes:
        files: by path, which begins with a slash.
        url: where it is.
        break_off_after: how many bytes of an answer are sent before the connection breaks.
        ranges: whether it can send a part of a file.
        version: the headers that it describes the version of a file with, given its content.
        conditions: whether it sends a part only of the version that was asked for.
        asked: every path with the Range header that came with it.
    """

    files: Mapping[str, bytes]
    url: str = ""
    break_off_after: int | None = None
    ranges: bool = True
    version: Callable[[bytes], Mapping[str, str]] = tag
    conditions: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextlib.contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[FileServer]:
    """Yields a server that runs in threads of this process."""
    state = FileServer(files)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            content = state.files.get(self.path)
            if content is None:
                return self.send_error(404)
            begin = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            version = state.version(content)
            unchanged = self.headers.get("If-Range") in (None, *version.values())
            if begin and state.ranges and (unchanged or not state.conditions):
                if begin >= len(content):
                    return self.send_error(416)
                self.send_response(206)
                self.send_header(
                    "Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}"
                )
            else:
                begin = 0
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - begin))
            for name, value in version.items():
                self.send_header(name, value)
            self.end_headers()
            most = state.break_off_after
            # Who asked may have seen enough.
            with contextlib.suppress(ConnectionError):
                self.wfile.write(content[begin:] if most is None else content[begin : begin + most])
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
