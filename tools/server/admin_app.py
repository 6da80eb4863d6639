"""Builds the web application for the people who run the server: metrics and its state."""

import re

from flask import Flask, Response, request
from flask.typing import ResponseReturnValue
from markupsafe import escape
from werkzeug.exceptions import BadRequest

from tools.server import health, http_errors
from tools.server.metrics import CONTENT_TYPE, ServerMetrics
from tools.server.served_model import ServedModel
from tools.server.work_queue import WorkQueue

_LOCAL_ADDRESSES = ("127.0.0.1", "::1", "localhost")
# Flask's TRUSTED_HOSTS cannot contain addresses of IPv6.
_LOCAL_HOST = re.compile(r"(127\.0\.0\.1|\[::1\]|localhost)(:[0-9]+)?", re.IGNORECASE)


def create_admin_app(
    model: ServedModel, queue: WorkQueue, metrics: ServerMetrics, *, host: str
) -> Flask:
    """Returns the application. It is thread-safe.

    Args:
        model: Classifier that the server uses.
        queue: Queue of the server.
        metrics: Metrics of the server.
        host: Address that the application is served at. At a local one, requests for other host
            names are refused, which a web site could send through a browser on this machine.
    """
    app = Flask(__name__, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]

    def show_state() -> ResponseReturnValue:
        return health.respond(
            queue,
            "ready",
            graph=str(model.graph),
            loaded_at=model.loaded_at.isoformat(timespec="seconds"),
            reload_error=model.reload_error,
            unknown_below=model.classifier.unknown_below,
            waiting_requests=queue.waiting,
        )

    def show_metrics() -> ResponseReturnValue:
        return Response(metrics.text(), content_type=CONTENT_TYPE)

    def refuse_other_hosts() -> None:
        if not _LOCAL_HOST.fullmatch(request.host):
            raise BadRequest("the host in the URL must be localhost or a local address")

    def forbid_caching(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    http_errors.handle_errors(app, lambda error: str(escape(error.description)))
    app.add_url_rule("/healthz", "healthz", lambda: health.respond(queue, "ok"))
    app.add_url_rule("/readyz", "readyz", show_state)
    app.add_url_rule("/metrics", "metrics", show_metrics)
    app.after_request(forbid_caching)
    if host in _LOCAL_ADDRESSES:
        app.before_request(refuse_other_hosts)
    return app
