"""Builds the web application for the people who run the server: metrics and its state."""

from flask import Flask, Response
from flask.typing import ResponseReturnValue
from markupsafe import escape

from tools.server import health, http_errors
from tools.server.metrics import CONTENT_TYPE, ServerMetrics
from tools.server.served_model import ServedModel
from tools.server.work_queue import WorkQueue


def create_admin_app(model: ServedModel, queue: WorkQueue, metrics: ServerMetrics) -> Flask:
    """Returns the application. It is thread-safe."""
    app = Flask(__name__, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]

    def show_state() -> ResponseReturnValue:
        return health.respond(
            queue,
            "ready",
            graph=str(model.graph),
            loaded_at=model.loaded_at.isoformat(timespec="seconds"),
            reload_error=model.reload_error,
            waiting_requests=queue.waiting,
        )

    def show_metrics() -> ResponseReturnValue:
        return Response(metrics.text(), content_type=CONTENT_TYPE)

    def forbid_caching(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    http_errors.handle_errors(app, lambda error: str(escape(error.description)))
    app.add_url_rule("/healthz", "healthz", lambda: health.respond(queue, "ok"))
    app.add_url_rule("/readyz", "readyz", show_state)
    app.add_url_rule("/metrics", "metrics", show_metrics)
    app.after_request(forbid_caching)
    return app
