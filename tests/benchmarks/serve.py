"""Images a second through the server against the classifier alone, over the same files.

    bazel run //tests/benchmarks:serve -- --graph=/tmp/output_graph.pb --image_dir=DIR

Rounds of both take turns, on connections of this machine only. Then the server gets half of the
load that it carried, evenly spread, and the times of the answers are printed; they count from
when a request was due, not from when a client came round to sending it.
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
from retrain.system import command_line
from retrain.system.files import user_path
from tests.support import programs

_GRAPH = flags.DEFINE_string("graph", "/tmp/output_graph.pb", "The classifier.")
_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with images.", required=True)
_IMAGES = flags.DEFINE_integer("images", 600, "How many a round has.", 16, 100_000)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "How many rounds to measure.", 1, 100)
_CLIENTS = flags.DEFINE_integer("clients", 16, "How many send at the same time.", 1, 256)

_HEAD = (
    "POST /?top=1 HTTP/1.1\r\nHost: here\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
)


def main(_: list[str]) -> None:
    """Prints a table."""
    images = _read_images(user_path(_IMAGE_DIR.value), _IMAGES.value)
    classifier = Classifier(user_path(_GRAPH.value))
    server, port = _start()
    try:
        _load(port, images[:50])
        alone, served = [], []
        for _round in range(_ROUNDS.value):
            alone.append(len(images) / _seconds(lambda: _classify(classifier, images)))
            served.append(len(images) / _seconds(lambda: _load(port, images)))
        rate = statistics.median(served)
        delays = sorted(_load(port, images, rate / 2))
    finally:
        server.terminate()
        server.wait()
    ratios = [one / other for one, other in zip(served, alone, strict=True)]
    print(f"classifier alone         {statistics.median(alone):7.1f} images/s")
    print(f"server, {_CLIENTS.value:3} clients      {rate:7.1f} images/s")
    print(f"ratio                    {statistics.median(ratios):7.2f}")
    for percent in (50, 90, 99):
        delay = delays[min(len(delays) - 1, len(delays) * percent // 100)]
        print(f"p{percent} at {rate / 2:5.0f} images/s   {1000 * delay:7.1f} ms")


def _read_images(folder: Path, count: int) -> list[bytes]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise UserError(f"--image_dir={folder} has no .jpg files; name a folder with some")
    return [path.read_bytes() for path in itertools.islice(itertools.cycle(files), count)]


def _start() -> tuple[subprocess.Popen, int]:
    server = subprocess.Popen(
        programs.command("serve", f"--graph={user_path(_GRAPH.value)}", "--port=0"),
        env=programs.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr
    for line in server.stderr:
        if found := re.match(r"Serving .*:(\d+)/$", line):
            # Its access log must be read, or it would wait for us.
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return server, int(found[1])
    raise RuntimeError("the server did not start")


def _classify(classifier: Classifier, images: list[bytes]) -> None:
    for answer in classifier.classify(images):
        assert isinstance(answer, Prediction), answer


def _seconds(function: Callable[[], object]) -> float:
    begun = time.monotonic()
    function()
    return time.monotonic() - begun


def _load(port: int, images: list[bytes], rate: float | None = None) -> list[float]:
    """Sends all images, as fast as answers come or `rate` a second; returns seconds each."""
    numbered = enumerate(images)
    lock = threading.Lock()
    delays: list[float] = []
    begun = time.monotonic()

    def client() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                with lock:
                    number, image = next(numbered, (0, None))
                if image is None:
                    return
                due = begun + number / rate if rate else time.monotonic()
                time.sleep(max(0.0, due - time.monotonic()))
                _ask(connection, image)
                delays.append(time.monotonic() - due)

    clients = [threading.Thread(target=client) for _ in range(_CLIENTS.value)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    if len(delays) != len(images):
        raise RuntimeError(f"only {len(delays)} of {len(images)} images were answered")
    return delays


def _ask(connection: socket.socket, image: bytes) -> None:
    connection.sendall((_HEAD % len(image)).encode() + image)
    answer = connection.recv(65536)
    while b"\r\n\r\n" not in answer or not answer.rstrip().endswith(b"}"):
        received = connection.recv(65536)
        if not received:
            break
        answer += received
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"the server answered {answer[:300]!r}")


if __name__ == "__main__":
    command_line.run(main, __doc__)
