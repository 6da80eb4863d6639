"""Runs //tools:serve on a free local port and sends requests to it."""

import http.client
import json
import re
import subprocess
import threading
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import programs


class Response(NamedTuple):
    """A response of the server."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The parsed JSON body."""
        return json.loads(self.body)


class ServerProcess:
    """A server that runs until the end of the block. A context manager.

    Attributes:
        process: The running process.
        port: Port on which the server listens.
        admin_port: Port for metrics and the state of the server.
    """

    def __init__(self, graph: Path, *flags: object) -> None:
        self.process = subprocess.Popen(
            programs.command("serve", f"--graph={graph}", "--port=0", *flags),
            env=programs.environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: list[str] = []
        self._log_changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = int(self.wait_for_line(r"Serving .*:(\d+)/$")[1])
        self.admin_port = int(self.wait_for_line(r"Metrics are at .*:(\d+)/metrics$")[1])

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr
        self.process.stderr.close()

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        """Returns the first match in the log. Waits up to a minute for it."""

        def find() -> re.Match[str] | None:
            return next(filter(None, (re.search(pattern, line) for line in self._lines)), None)

        with self._log_changed:
            self._log_changed.wait_for(lambda: find() or not self._reader.is_alive(), 60)
            match = find()
        if match is None:
            raise AssertionError(f"no line matches {pattern}: {self.log}")
        return match

    @property
    def log(self) -> str:
        """Everything that the server has logged so far."""
        return "".join(self._lines)

    def end(self, signal: int) -> tuple[int, str]:
        """Sends a signal, and returns the exit status and the complete log."""
        self.process.send_signal(signal)
        status = self.process.wait(60)
        self._reader.join()
        return status, self.log

    def connect(self, *, source: str = "127.0.0.1") -> http.client.HTTPConnection:
        """Returns a new connection to the server, from this address of this machine."""
        return http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=60, source_address=(source, 0)
        )

    def request(
        self, method: str, path: str, *, body: bytes | None = None, **headers: str
    ) -> Response:
        """Returns the response to a request. Names of headers have _ instead of -."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return _exchange(self.connect(), method, path, body, names)

    def admin_request(self, path: str) -> Response:
        """Returns the response to a request of metrics or of the state of the server."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=60)
        return _exchange(connection, "GET", path, None, {})

    def resident_megabytes(self) -> float:
        """Returns the resident memory of the process in megabytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(r"VmRSS:\s+(\d+) kB", text)
        assert match
        return int(match[1]) / 1024

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self._log_changed:
                self._lines.append(line)
                self._log_changed.notify_all()
        with self._log_changed:
            self._log_changed.notify_all()


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
) -> Response:
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Response(response.status, response.headers, response.read())
    finally:
        connection.close()


def train_colours(folder: Path) -> tuple[Path, Path]:
    """Trains a classifier of red, green and blue images; returns its graph and the image folder."""
    images = programs.draw_colours(folder / "images")
    done = programs.run("retrain", f"--image_dir={images}", *programs.outputs(folder))
    assert done.returncode == 0, done.stderr
    return folder / "graph.pb", images


def form(*files: tuple[str, bytes], field: str = "image") -> tuple[bytes, str]:
    """Returns the body and the content type of a form with the files."""
    boundary = "a-line-that-no-image-contains"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, data in files
    ]
    return b"".join(
        parts
    ) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
