"""Counts requests and images, and exports the counts in the Prometheus text format."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from label_image.classifier import Prediction, UnreadableImage
from tools.server.connections import Connections
from tools.server.held_bytes import HeldBytes
from tools.server.served_model import ServedModel
from tools.server.work_queue import WorkQueue

CONTENT_TYPE = CONTENT_TYPE_LATEST

# Upper bounds of the histogram's buckets.
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0)
_METHODS = {"GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"}


class ServerMetrics:
    """The metrics of one server. Thread-safe."""

    def __init__(self, model: ServedModel, queue: WorkQueue) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "serve_requests",
            "Answered requests.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "serve_request_seconds",
            "Time from the complete request to its response.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        # Dashboards rely on the metric's name, which says "pictures".
        self._images = Counter(
            "serve_pictures", "Received images.", ["result"], registry=self._registry
        )
        self._unknown_images = Counter(
            "serve_unknown_images",
            "Labelled images that show none of the classes.",
            registry=self._registry,
        )
        waiting = Gauge(
            "serve_waiting_requests", "Requests that wait for a worker.", registry=self._registry
        )
        waiting.set_function(lambda: queue.waiting)
        working = Gauge(
            "serve_busy_workers", "Workers that label an image.", registry=self._registry
        )
        working.set_function(lambda: queue.working)
        self._registry.register(_ModelCollector(model))
        ProcessCollector(registry=self._registry)

    def count_request(self, method: str, route: str, status: int, *, seconds: float) -> None:
        """Counts a request.

        Args:
            method: HTTP method.
            route: URL rule that matched, or "none".
            status: Status code of the response.
            seconds: Time that the response took.
        """
        # An unlimited number of label values would use up memory.
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_image(self, result: Prediction | UnreadableImage) -> None:
        """Counts an image by its result."""
        if isinstance(result, UnreadableImage):
            self._images.labels("unreadable").inc()
            return
        self._images.labels("labelled").inc()
        if result.is_unknown:
            self._unknown_images.inc()

    def watch_connections(self, connections: Connections, held: HeldBytes) -> None:
        """Adds metrics of a listener."""
        opened = Gauge("serve_open_connections", "Open connections.", registry=self._registry)
        opened.set_function(lambda: len(connections))
        bytes_ = Gauge(
            "serve_held_bytes",
            "Bytes of request bodies and responses in memory.",
            registry=self._registry,
        )
        bytes_.set_function(lambda: held.total)
        self._registry.register(_ConnectionsCollector(connections))

    def text(self) -> bytes:
        """Returns all metrics in the Prometheus text format."""
        return generate_latest(self._registry)


class _ModelCollector(Collector):
    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def collect(self) -> list[Metric]:
        loaded = GaugeMetricFamily(
            "serve_model_loaded_timestamp_seconds",
            "Time at which the current model was loaded.",
            value=self._model.loaded_at.timestamp(),
        )
        failed = CounterMetricFamily(
            "serve_model_failed_reloads",
            "New model files that could not be loaded.",
            value=self._model.failed_reloads,
        )
        return [loaded, failed]


class _ConnectionsCollector(Collector):
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def collect(self) -> list[Metric]:
        closed = CounterMetricFamily(
            "serve_connections_closed_early",
            "Connections that the server closed before the client.",
            labels=["reason"],
        )
        for reason, count in dict(self._connections.closed_early).items():
            closed.add_metric([reason], count)
        return [closed]
