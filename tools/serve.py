"""Serves a classifier: a web page for people, JSON for programs.

    bazel run //tools:serve -- --graph=/tmp/output_graph.pb --port=5000

Open http://127.0.0.1:5000/ in a browser, or send images:

    curl -F image=@photo.jpg http://127.0.0.1:5000/

The server ends on SIGTERM or Ctrl-C after it has answered the requests in progress. When the file
of the classifier is replaced, the server loads the new one.
"""

from retrain.system.program import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
import dataclasses
import logging
import os
import socket

from absl import flags

from label_image import classifier_flags
from retrain.data.image_limits import ImageLimits
from retrain.errors import UserError
from retrain.system.processors import processor_count
from retrain.system.program import command_line
from tools.server import http_server
from tools.server.clients import ClientAddresses
from tools.server.http_server import Server
from tools.server.listener import Listener
from tools.server.memory import limit_malloc_caches
from tools.server.open_files import reserve_connections
from tools.server.web_site import ServerLimits, Site

_CLASSIFIER = classifier_flags.define()
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address to listen on. 0.0.0.0 accepts requests from other machines."
)
_PORT = flags.DEFINE_integer(
    "port", 5000, "Port to listen on. 0 selects a free port.", lower_bound=0, upper_bound=65535
)
_ADMIN_HOST = flags.DEFINE_string(
    "admin_host",
    "127.0.0.1",
    "Address to listen on for requests of /metrics and for the details of /readyz.",
)
_ADMIN_PORT = flags.DEFINE_integer(
    "admin_port",
    None,
    "Port for requests of /metrics and for the details of /readyz. By default, the port after "
    "--port, or a free port if --port=0. 0 selects a free port.",
    lower_bound=0,
    upper_bound=65535,
)
_ALLOWED_HOSTS = flags.DEFINE_list(
    "allowed_hosts",
    [],
    "Comma-separated host names in the URLs of the server, such as photos.example.org,localhost. "
    "Requests for other hosts are refused. A name that starts with a dot also allows its "
    "subdomains. By default, all hosts are allowed.",
)
_TRUSTED_PROXIES = flags.DEFINE_list(
    "trusted_proxies",
    [],
    "Comma-separated addresses and networks of reverse proxies, such as 10.0.0.7,fd00::/8. The "
    "X-Forwarded-For header of their requests tells clients apart, which share the limits.",
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
    "decoded. Decoding an image takes at most 9 bytes per pixel of this maximum.",
    lower_bound=0.001,
)
_TIMEOUT = flags.DEFINE_float(
    "timeout",
    20,
    "Maximum number of seconds for which a client can send or read nothing, that a request can "
    "wait for a worker, and that requests in progress get at shutdown. Clients must send and read "
    "at least 10,000 bytes per second on average.",
    lower_bound=0.1,
)
_QUEUE = flags.DEFINE_integer(
    "queue",
    64,
    "Maximum number of requests that wait for a worker, of which one client can have half. Further "
    "requests get status 503.",
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
# A single client cannot occupy this one.
_SPARE_WORKERS = 1
# Threads for refusing requests when the queue is full.
_SPARE_THREADS = 4
_ADMIN_THREADS = 2
# One client can have half of them.
_MAX_CONNECTIONS = 1200
# One client can make the server hold half of this.
_MAX_BODIES_HELD = 8
# Budget of an image. It suffices for PNG files with the maximum number of pixels, and for HEIC
# files with half of it.
_BYTES_PER_PIXEL = 9
_COPIES_OF_FILE = 2
_MAX_DECODING_SECONDS = 10.0


def main(arguments: list[str]) -> None:
    """Serves until the process gets SIGTERM or SIGINT."""
    if arguments:
        raise UserError(
            f"arguments must be flags, but got {arguments[0]}; --graph=FILE names the classifier "
            "to serve"
        )
    limit_malloc_caches()
    bound = http_server.bind(_HOST.value, _PORT.value)
    admin_bound = _bind_admin()
    clients = ClientAddresses(_TRUSTED_PROXIES.value)
    # Loading these takes a second, which an error message about the port does not have to wait for.
    from tools.server.admin_app import create_admin_app
    from tools.server.app import Limits, create_app
    from tools.server.metrics import ServerMetrics
    from tools.server.served_model import ServedModel
    from tools.server.work_queue import WorkQueue

    images, allowed_hosts = _image_limits(), _allowed_hosts()
    model = ServedModel(_CLASSIFIER.graph_path(), overrides=_CLASSIFIER.overrides(), limits=images)
    connections = reserve_connections(_MAX_CONNECTIONS)
    processors = _PROCESSORS.value or processor_count()
    workers = _WORKERS_PER_PROCESSOR * processors + _SPARE_WORKERS
    queue = WorkQueue(workers, max_waiting=_QUEUE.value, timeout=_TIMEOUT.value)
    metrics = ServerMetrics(model, queue)
    body_bytes = int(_MAX_MEGABYTES.value * 1e6)
    limits = Limits(
        max_body_bytes=body_bytes,
        images=images,
        top=_NUM_TOP_PREDICTIONS.value,
        allowed_hosts=allowed_hosts,
    )
    public = Site(
        create_app(model, queue, limits, metrics),
        threads=workers + _QUEUE.value + _SPARE_THREADS,
        limits=ServerLimits(
            seconds=_TIMEOUT.value,
            connections=connections,
            connections_per_client=connections // 2,
            body_bytes=body_bytes,
            held_bytes=_MAX_BODIES_HELD * body_bytes,
        ),
        clients=clients,
    )
    metrics.watch_connections(public.connections, public.held)
    admin = Site(
        create_admin_app(model, queue, metrics, host=_ADMIN_HOST.value),
        threads=_ADMIN_THREADS,
        limits=ServerLimits(seconds=_TIMEOUT.value, body_bytes=0),
        clients=clients,
    )
    model.watch(_RELOAD_SECONDS.value)
    is_complete = Server(
        Listener(public, bound), Listener(admin, admin_bound), seconds=_TIMEOUT.value
    ).run(f"Serving {model.graph} at {_url(bound)}", f"Metrics are at {_url(admin_bound)}metrics")
    if not is_complete:
        logging.info("Stopped before all requests in progress were answered")
        os._exit(0)  # Otherwise, Python would wait for threads that still label an image.
    model.stop()
    logging.info("Stopped after answering all requests in progress")


def _bind_admin() -> socket.socket:
    port = _ADMIN_PORT.value
    if port is None:
        port = 0 if _PORT.value in (0, 65535) else _PORT.value + 1
    return http_server.bind(_ADMIN_HOST.value, port, flags="admin_")


def _allowed_hosts() -> tuple[str, ...]:
    for name in _ALLOWED_HOSTS.value:
        if not name.strip(".") or not set(name).isdisjoint(":/[]* "):
            raise UserError(
                f"--allowed_hosts={name} is not a host name; expected, for example, "
                "photos.example.org, without a port"
            )
    return tuple(_ALLOWED_HOSTS.value)


def _image_limits() -> ImageLimits:
    file_bytes, pixels = int(_MAX_MEGABYTES.value * 1e6), int(_MAX_MEGAPIXELS.value * 1e6)
    return dataclasses.replace(
        ImageLimits(),
        file_bytes=file_bytes,
        pixels=pixels,
        memory_bytes=_BYTES_PER_PIXEL * pixels + _COPIES_OF_FILE * file_bytes,
        seconds=_MAX_DECODING_SECONDS,
    )


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


if __name__ == "__main__":
    command_line.run(main, __doc__)
