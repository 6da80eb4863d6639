"""Compares the speed of the server with that of the classifier alone on the same images.

    bazel run //tests/benchmarks:serve -- --graph=/tmp/output_graph.pb --image_dir=DIR

Measures both in turns, with clients on the same machine. Then sends requests at half of the
measured rate and prints percentiles of the response time. The response time starts when a
request is due, even if no client is free to send it yet.
"""

import itertools
import re
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from absl import flags

from label_image.classifier import Classifier, Prediction
from retrain.errors import UserError
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from tests.support import programs

_GRAPH = flags.DEFINE_string("graph", "/tmp/output_graph.pb", "Classifier to serve.")
_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with images.", required=True)
_IMAGES = flags.DEFINE_integer("images", 600, "Number of images per round.", lower_bound=16)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Number of rounds.", lower_bound=1)
_CLIENTS = flags.DEFINE_integer("clients", 16, "Number of parallel clients.", lower_bound=1)

_HEAD = (
    "POST /?top=1 HTTP/1.1\r\nHost: here\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
)


def main(_: list[str]) -> None:
    """Prints the speeds, their ratio and the response times."""
    images = _read_images(user_path(_IMAGE_DIR.value), _IMAGES.value)
    classifier = Classifier(user_path(_GRAPH.value))
    server, port = _start_server()
    try:
        _send_all(port, images[:50])
        direct_rates, server_rates = [], []
        for _round in range(_ROUNDS.value):
            direct_rates.append(len(images) / _seconds(lambda: _classify(classifier, images)))
            server_rates.append(len(images) / _seconds(lambda: _send_all(port, images)))
        rate = statistics.median(server_rates)
        response_times = sorted(_send_all(port, images, rate=rate / 2))
    finally:
        server.terminate()
        server.wait()
    ratios = [
        server_rate / direct_rate
        for server_rate, direct_rate in zip(server_rates, direct_rates, strict=True)
    ]
    print(f"classifier alone         {statistics.median(direct_rates):7.1f} images/s")
    print(f"server, {_CLIENTS.value:3} clients      {rate:7.1f} images/s")
    print(f"ratio                    {statistics.median(ratios):7.2f}")
    for percent in (50, 90, 99):
        seconds = response_times[len(response_times) * percent // 100]
        print(f"p{percent} at {rate / 2:5.0f} images/s   {1000 * seconds:7.1f} ms")


def _read_images(folder: Path, count: int) -> list[bytes]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise UserError(f"--image_dir={folder} contains no .jpg files; choose a folder with some")
    return [path.read_bytes() for path in itertools.islice(itertools.cycle(files), count)]


def _start_server() -> tuple[subprocess.Popen, int]:
    server = subprocess.Popen(
        programs.command("serve", f"--graph={user_path(_GRAPH.value)}", "--port=0"),
        env=programs.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr
    for line in server.stderr:
        if found := re.match(r"Serving .*:(\d+)/$", line):
            # The server would block if nothing read its access log.
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return server, int(found[1])
    raise RuntimeError("the server did not start")


def _classify(classifier: Classifier, images: list[bytes]) -> None:
    for result in classifier.classify(images):
        assert isinstance(result, Prediction), result


def _seconds(function: Callable[[], object]) -> float:
    start = time.monotonic()
    function()
    return time.monotonic() - start


def _send_all(port: int, images: list[bytes], *, rate: float | None = None) -> list[float]:
    """Sends all images, as fast as possible or at `rate` per second; returns response times."""
    numbered = enumerate(images)
    lock = threading.Lock()
    response_times: list[float] = []
    start = time.monotonic()

    def client() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                with lock:
                    number, image = next(numbered, (0, None))
                if image is None:
                    return
                due = start + number / rate if rate else time.monotonic()
                time.sleep(max(0.0, due - time.monotonic()))
                _send(connection, image)
                response_times.append(time.monotonic() - due)

    clients = [threading.Thread(target=client) for _ in range(_CLIENTS.value)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    if len(response_times) != len(images):
        raise RuntimeError(f"only {len(response_times)} of {len(images)} images were answered")
    return response_times


def _send(connection: socket.socket, image: bytes) -> None:
    connection.sendall((_HEAD % len(image)).encode() + image)
    response = connection.recv(65536)
    while b"\r\n\r\n" not in response or not response.rstrip().endswith(b"}"):
        received = connection.recv(65536)
        if not received:
            break
        response += received
    if not response.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"the server answered {response[:300]!r}")


if __name__ == "__main__":
    command_line.run(main, __doc__)
