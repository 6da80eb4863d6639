"""Serves a classifier: a web page for people, JSON for programs.

    bazel run //tools:serve -- --graph=/tmp/output_graph.pb --port=5000

Open http://127.0.0.1:5000/ in a browser, or send images:

    curl -F image=@photo.jpg http://127.0.0.1:5000/

The server ends on SIGTERM or Ctrl-C after it has answered the requests in progress. When the file
of the classifier is replaced, the server loads the new one.
"""

import logging
import signal
import sys
from types import FrameType

from absl import flags

from retrain.errors import UserError
from retrain.system import command_line
from retrain.system.files import user_path
from retrain.system.processors import processor_count
from tools.server import http_server
from tools.server.memory import limit_malloc_caches

_GRAPH = flags.DEFINE_string(
    "graph",
    "/tmp/output_graph.pb",
    "Classifier to serve: a frozen graph, TFLite file, Keras file or SavedModel folder.",
)
_LABELS = flags.DEFINE_string(
    "labels",
    None,
    "File with one label per line. Required only if the graph does not contain its labels.",
)
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address to listen on. 0.0.0.0 accepts requests from other machines."
)
_PORT = flags.DEFINE_integer(
    "port", 5000, "Port to listen on. 0 selects a free port.", lower_bound=0, upper_bound=65535
)
_NUM_TOP_PREDICTIONS = flags.DEFINE_integer(
    "num_top_predictions", 5, "Number of labels that the page shows for an image.", lower_bound=1
)
_MAX_MEGABYTES = flags.DEFINE_float(
    "max_megabytes", 20, "Maximum size of a request in millions of bytes.", lower_bound=0.001
)
_MAX_MEGAPIXELS = flags.DEFINE_float(
    "max_megapixels",
    50,
    "Maximum size of an image in millions of pixels. Larger images are refused before they are "
    "decoded.",
    lower_bound=0.001,
)
_TIMEOUT = flags.DEFINE_float(
    "timeout",
    20,
    "Maximum number of seconds that a request can take to arrive, and that it can wait for a "
    "worker.",
    lower_bound=0.1,
)
_QUEUE = flags.DEFINE_integer(
    "queue",
    32,
    "Maximum number of requests that wait for a worker. Further requests get status 503.",
    lower_bound=0,
    upper_bound=1000,
)
_PROCESSORS = flags.DEFINE_integer(
    "processors",
    None,
    "Number of processors to use. By default, all that are available to the process.",
    lower_bound=1,
)
_RELOAD_SECONDS = flags.DEFINE_float(
    "reload_seconds", 2, "Seconds between two checks for a new classifier file.", lower_bound=0.01
)

# While one worker labels an image, the other reads a request, writes a response, or wakes up.
_WORKERS_PER_PROCESSOR = 2
# Threads for requests without images, and for refusing requests when the queue is full.
_SPARE_THREADS = 4


def main(arguments: list[str]) -> None:
    """Serves until the process gets SIGTERM or SIGINT."""
    if arguments:
        raise UserError(
            f"arguments must be flags, but got {arguments[0]}; --graph=FILE names the classifier "
            "to serve"
        )
    # Process 1 of a container ignores SIGTERM unless it has a handler. The server installs its own
    # when it starts.
    signal.signal(signal.SIGTERM, _exit_at_once)
    limit_malloc_caches()
    bound = http_server.bind(_HOST.value, _PORT.value)
    # Loading these takes a second, which an error message about the port does not have to wait for.
    from tools.server.app import Limits, create_app
    from tools.server.served_model import ServedModel
    from tools.server.work_queue import WorkQueue

    model = ServedModel(
        user_path(_GRAPH.value),
        labels_file=user_path(_LABELS.value) if _LABELS.value else None,
    )
    workers = _WORKERS_PER_PROCESSOR * (_PROCESSORS.value or processor_count())
    queue = WorkQueue(workers, max_waiting=_QUEUE.value, timeout=_TIMEOUT.value)
    limits = Limits(
        max_body_bytes=int(_MAX_MEGABYTES.value * 1e6),
        max_pixels=int(_MAX_MEGAPIXELS.value * 1e6),
        top=_NUM_TOP_PREDICTIONS.value,
    )
    server = http_server.Server(
        create_app(model, queue, limits),
        bound,
        threads=workers + _QUEUE.value + _SPARE_THREADS,
        max_body_bytes=limits.max_body_bytes,
        timeout=_TIMEOUT.value,
    )
    model.watch(_RELOAD_SECONDS.value)
    host, port = bound.getsockname()[:2]
    address = f"[{host}]" if ":" in host else host
    server.run(f"Serving {model.graph} at http://{address}:{port}/")
    model.stop()
    logging.info("Stopped after answering all requests in progress")


def _exit_at_once(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    command_line.run(main, __doc__)
