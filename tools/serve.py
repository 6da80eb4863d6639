"""Serves a classifier that retrain made: a page for people, JSON for programs.

    bazel run //tools:serve -- --graph=/tmp/output_graph.pb --port=5000

Open http://127.0.0.1:5000/ in a browser, or send images:

    curl -F image=@picture.jpg http://127.0.0.1:5000/

The server ends on SIGTERM or Ctrl-C, after it has answered what it has begun. When the file of the
classifier is replaced, the new one is served.
"""

import logging
import signal
import sys
from types import FrameType

from absl import flags

from retrain.system import command_line
from retrain.system.files import user_path
from retrain.system.threads import processors
from tools.server import http_server, memory

_GRAPH = flags.DEFINE_string(
    "graph", "/tmp/output_graph.pb", "The classifier, as retrain writes it."
)
_LABELS = flags.DEFINE_string(
    "labels",
    None,
    "A file with one label a line. Needed only for a graph that does not carry its labels.",
)
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "The address to serve at; 0.0.0.0 lets other machines in."
)
_PORT = flags.DEFINE_integer("port", 5000, "The port to serve at; 0 takes a free one.", 0, 65535)
_NUM_TOP_PREDICTIONS = flags.DEFINE_integer(
    "num_top_predictions", 5, "How many labels the page shows for an image.", lower_bound=1
)
_MAX_MEGABYTES = flags.DEFINE_float(
    "max_megabytes", 20, "The most that a request may have, in millions of bytes.", 0.001
)
_MAX_MEGAPIXELS = flags.DEFINE_float(
    "max_megapixels",
    50,
    "The most that an image may have, in millions of pixels; more is refused before decoding.",
    0.001,
)
_TIMEOUT = flags.DEFINE_float(
    "timeout",
    20,
    "Seconds that a request may take to arrive, and that it may wait for its turn.",
    0.1,
)
_QUEUE = flags.DEFINE_integer(
    "queue",
    32,
    "How many requests may wait beside those that are worked on; others are told to come back.",
    0,
    1000,
)
_PROCESSORS = flags.DEFINE_integer(
    "processors",
    None,
    "How many processors to keep busy; by default all that the process may use. In a container "
    "whose share of them is limited, say how many that is.",
    1,
)
_RELOAD_SECONDS = flags.DEFINE_float(
    "reload_seconds", 2, "How often to look whether there is a new classifier.", 0.01
)

# One labels while the other reads its image, writes its answer, or waits to be woken.
_WORKERS_PER_PROCESSOR = 2
# Threads for the requests that are not images, and to send the others away.
_SPARE_THREADS = 4


def main(_: list[str]) -> None:
    """Serves until it is told to end."""
    # Until the server says what is to happen. The first process of a container would ignore it.
    signal.signal(signal.SIGTERM, _end_at_once)
    memory.give_back_early()
    bound = http_server.listen(_HOST.value, _PORT.value)
    # They take a second to load, which a port in use need not wait for.
    from tools.server.app import Limits, create_app
    from tools.server.served_model import ServedModel
    from tools.server.work_queue import WorkQueue

    model = ServedModel(
        user_path(_GRAPH.value), user_path(_LABELS.value) if _LABELS.value else None
    )
    workers = _WORKERS_PER_PROCESSOR * (_PROCESSORS.value or processors())
    queue = WorkQueue(workers, _QUEUE.value, _TIMEOUT.value)
    limits = Limits(
        body_bytes=int(_MAX_MEGABYTES.value * 1e6),
        pixels=int(_MAX_MEGAPIXELS.value * 1e6),
        top=_NUM_TOP_PREDICTIONS.value,
    )
    app = create_app(model, queue, limits)
    threads = workers + _QUEUE.value + _SPARE_THREADS
    server = http_server.Server(app, bound, threads, limits.body_bytes, _TIMEOUT.value)
    model.watch(_RELOAD_SECONDS.value)
    host, port = bound.getsockname()[:2]
    address = f"[{host}]" if ":" in host else host
    server.run(f"Serving {model.graph} at http://{address}:{port}/")
    model.stop()
    logging.info("Ended; all that was begun is answered")


def _end_at_once(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    command_line.run(main, __doc__)
