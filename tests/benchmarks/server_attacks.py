"""Measures the service that others get while a server is attacked.

For each attack, clients of the same and of another address request /healthz and send photos, over
new connections and over connections that stay open. Prints the share of their requests that is
answered with status 200 within five seconds, response times, and the peak memory of the server.
"""

import concurrent.futures
import http.client
import re
import shutil
import subprocess
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support import programs, server_attacks

_BACKBONE = Path("retrain/backbones/efficientnet_lite0.tflite")
_PHOTO = Path("examples/blocks/ones/ones_001.jpg")
_ADDRESSES = {"same": "127.0.0.1", "other": "127.0.0.2"}
_PATIENCE = 5.0
_PAUSE = 0.1


class Service(NamedTuple):
    """What clients get.

    Attributes:
        seconds: Response times of the requests with status 200, sorted.
        sent: Number of requests sent.
    """

    seconds: list[float]
    sent: int

    def __str__(self) -> str:
        if not self.seconds:
            return f"{0:4.0%}  {'-':>6}  {'-':>6}"
        p50, p99 = (self.seconds[len(self.seconds) * percent // 100] for percent in (50, 99))
        return f"{len(self.seconds) / self.sent:4.0%}  {1000 * p50:6.0f}  {1000 * p99:6.0f}"


def run(*, seconds: float = 10, names: list[str] | None = None) -> None:
    """Prints a table with a row for each attack and kind of client.

    Args:
        seconds: Duration of each attack.
        names: Attacks to run, keys of `server_attacks.ATTACKS`. By default, all.
    """
    folder = Path(tempfile.mkdtemp())
    try:
        graph = _classifier(folder)
        measure_all(lambda: _start_server(graph), seconds=seconds, names=names)
    finally:
        shutil.rmtree(folder)


def measure_all(
    start: Callable[[], tuple[subprocess.Popen, int]],
    *,
    seconds: float,
    names: list[str] | None = None,
) -> None:
    """Prints the table for a server that `start` starts; it returns the process and the port."""
    print(f"{'':34}{'':18}answered  p50 ms  p99 ms  peak MB")
    for name in [None, *(names or server_attacks.ATTACKS)]:
        process, port = start()
        try:
            services, peak = _measure(name, process.pid, port, seconds)
            for row, (client, service) in enumerate(services.items()):
                title, memory = (name or "no attack", f"{peak:7.0f}") if row == 0 else ("", "")
                print(f"{title:34}{client:22}{service}  {memory}", flush=True)
        finally:
            process.terminate()
            started = time.monotonic()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
            if time.monotonic() - started > 1:
                print(f"{'':34}ended {time.monotonic() - started:.1f} s after SIGTERM")


def _measure(
    name: str | None, pid: int, port: int, seconds: float
) -> tuple[dict[str, Service], float]:
    clients = {
        f"{kind}, {address}": (kind, source)
        for address, source in _ADDRESSES.items()
        for kind in ("health", "photo", "photo kept")
    }
    _send(port, "photo", _ADDRESSES["same"])
    with concurrent.futures.ThreadPoolExecutor() as threads:
        if name is None:
            return _serve_all(threads, clients, port, seconds), peak_megabytes(pid)
        with server_attacks.running(name, port):
            time.sleep(3)  # Until all connections of the attacker are open.
            return _serve_all(threads, clients, port, seconds), peak_megabytes(pid)


def _serve_all(threads, clients, port: int, seconds: float) -> dict[str, Service]:
    deadline = time.monotonic() + seconds
    running = {
        title: threads.submit(_use_service, port, kind, source, deadline)
        for title, (kind, source) in clients.items()
    }
    return {title: future.result() for title, future in running.items()}


def _use_service(port: int, kind: str, source: str, deadline: float) -> Service:
    answered, sent = [], 0
    connection = None
    while time.monotonic() < deadline:
        started = time.monotonic()
        sent += 1
        try:
            connection = _send(port, kind, source, connection)
            answered.append(time.monotonic() - started)
        except (OSError, http.client.HTTPException):
            connection = None
        time.sleep(_PAUSE)
    return Service(sorted(answered), sent)


def _send(
    port: int, kind: str, source: str, kept: http.client.HTTPConnection | None = None
) -> http.client.HTTPConnection | None:
    """Sends a request, and returns the connection if it stays open.

    Raises:
        OSError: If the answer does not come in time, or has another status than 200.
    """
    connection = kept or http.client.HTTPConnection(
        "127.0.0.1", port, timeout=_PATIENCE, source_address=(source, 0)
    )
    try:
        if kind == "health":
            connection.request("GET", "/healthz")
        else:
            connection.request(
                "POST", "/?top=1", _PHOTO.read_bytes(), {"Content-Type": "image/jpeg"}
            )
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        if not kept:
            raise
        # As every HTTP client does if the server has closed an idle connection.
        return _send(port, kind, source)
    if response.status != 200:
        connection.close()
        raise OSError(f"status {response.status}")
    if kind == "photo kept":
        return connection
    connection.close()
    return None


def peak_megabytes(pid: int) -> float:
    """Returns the sum of the peak resident memory of a process and of its child processes."""
    own = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    # A process that has ended has no memory.
    return (int(own[1]) / 1000 if own else 0) + sum(
        peak_megabytes(child) for child in _children(pid)
    )


def _children(pid: int) -> Iterator[int]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, path.read_text().split())


def _classifier(folder: Path) -> Path:
    """Returns a classifier with 1280 labels."""
    graph = folder / "classifier.tflite"
    shutil.copy(_BACKBONE, graph)
    with zipfile.ZipFile(graph, "a") as archive:
        archive.writestr("labels.txt", "".join(f"feature {i}\n" for i in range(1280)))
    return graph


def _start_server(graph: Path) -> tuple[subprocess.Popen, int]:
    return wait_for_port(programs.command("serve", f"--graph={graph}", "--port=0"))


def wait_for_port(command: list[str]) -> tuple[subprocess.Popen, int]:
    """Starts a server, and returns its process and the port that it logs."""
    process = subprocess.Popen(
        command, env=programs.environment(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    for line in process.stderr:
        if found := re.search(r"Serving .*:(\d+)/$", line):
            # The server would block if nothing read its access log.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, int(found[1])
    raise RuntimeError("the server did not start")


if __name__ == "__main__":
    run()
