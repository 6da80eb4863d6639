"""Builds the web application for clients: the page, the JSON interface and health checks."""

import dataclasses
import logging
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, json, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, HTTPException

from label_image.classifier import Classifier
from retrain.data.image_limits import DEFAULT_LIMITS, ImageLimits
from retrain.data.pixels import UnreadableImageError
from tools.server import health, http_errors, request_images
from tools.server.clients import client_key
from tools.server.image_result import image_result
from tools.server.metrics import ServerMetrics
from tools.server.request_images import Upload
from tools.server.served_heat_maps import ServedHeatMaps
from tools.server.served_model import ServedModel
from tools.server.work_queue import Ticket, WorkQueue

# Number of labels that the page shows heat maps of, the best first.
_HEAT_MAPS = 2
_FILES = Path(__file__).with_name("files")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of a request and its response.

    Attributes:
        max_body_bytes: Maximum size of a request body in bytes.
        images: Budget for reading one image.
        top: Number of labels that the page shows for an image.
        allowed_hosts: Host names that requests can be for. Empty allows all.
    """

    max_body_bytes: int = 20_000_000
    images: ImageLimits = DEFAULT_LIMITS
    top: int = 5
    allowed_hosts: tuple[str, ...] = ()


def create_app(
    model: ServedModel, queue: WorkQueue, limits: Limits, metrics: ServerMetrics
) -> Flask:
    """Returns the application. It is thread-safe."""
    app = Flask(__name__, template_folder=_FILES / "templates", static_folder=_FILES / "static")
    app.config["MAX_CONTENT_LENGTH"] = limits.max_body_bytes
    app.config["TRUSTED_HOSTS"] = list(limits.allowed_hosts) or None
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.merge_slashes = False
    _Routes(model, queue, limits, metrics).add_to(app)
    _watch_requests(app, metrics)
    return app


class _Routes:
    def __init__(
        self, model: ServedModel, queue: WorkQueue, limits: Limits, metrics: ServerMetrics
    ) -> None:
        self._model, self._queue, self._limits, self._metrics = model, queue, limits, metrics
        self._heat_maps = ServedHeatMaps()
        self._description = json.loads((_FILES / "openapi.json").read_bytes())

    def add_to(self, app: Flask) -> None:
        http_errors.handle_errors(app, self._error_page)
        app.add_url_rule("/", "page", self._page)
        app.add_url_rule("/", "label", self._label, methods=["POST"])
        app.add_url_rule("/heatmap", "heat_map", self._heat_map, methods=["POST"])
        app.add_url_rule("/labels", "labels", self._labels)
        app.add_url_rule("/healthz", "healthz", lambda: health.respond(self._queue, "ok"))
        app.add_url_rule("/readyz", "readyz", lambda: health.respond(self._queue, "ready"))
        app.add_url_rule("/openapi.json", "openapi", self._openapi)
        app.add_url_rule("/favicon.ico", "icon", lambda: app.send_static_file("icon.svg"))

    def _page(self) -> ResponseReturnValue:
        return self._render()

    def _label(self) -> ResponseReturnValue:
        top = _parse_top()
        with self._queue.admit(client_key(request.remote_addr or "")) as ticket:
            uploads = request_images.read_uploads(request)
            if http_errors.prefers_html():
                with_heat_maps = request.args.get("heatmaps") == "1"
                return self._label_on_page(uploads, ticket, with_heat_maps=with_heat_maps)
            # A reload during the request does not change its classifier.
            results = self._classify_all(self._model.classifier, uploads, ticket, top)
        # "pictures" is an older name of "images".
        lists = {"images": results, "pictures": results}
        if any("labels" in result for result in results):
            return jsonify(lists)
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return jsonify(status=status, error=_summarize_errors(results), **lists), status

    def _label_on_page(
        self, uploads: list[Upload], ticket: Ticket, *, with_heat_maps: bool
    ) -> ResponseReturnValue:
        classifier = self._model.classifier
        results = self._classify_all(classifier, uploads, ticket, self._limits.top)
        cards = []
        for upload, result in zip(uploads, results, strict=True):
            card = {**result, "thumbnail": None}
            if "labels" in result:
                card["thumbnail"] = self._thumbnail(upload, ticket)
                if with_heat_maps:
                    labels = [label["label"] for label in result["labels"][:_HEAT_MAPS]]
                    with ticket.worker():
                        card["heat_maps"] = self._heat_maps.draw_cards(
                            classifier, upload.data, labels
                        )
            cards.append(card)
        any_labelled = any("labels" in result for result in results)
        status = HTTPStatus.OK if any_labelled else HTTPStatus.UNPROCESSABLE_ENTITY
        return self._render(cards=cards), status

    def _heat_map(self) -> ResponseReturnValue:
        label = request.args.get("label")
        with self._queue.admit(client_key(request.remote_addr or "")) as ticket:
            uploads = request_images.read_uploads(request)
            if len(uploads) != 1:
                raise BadRequest(f"expected one image for a heat map, but got {len(uploads)}")
            classifier = self._model.classifier
            with ticket.worker():
                jpeg = self._heat_maps.draw_one(classifier, uploads[0].data, label)
        return Response(jpeg, mimetype="image/jpeg")

    def _classify_all(
        self, classifier: Classifier, uploads: list[Upload], ticket: Ticket, top: int | None
    ) -> list[dict[str, Any]]:
        return [self._classify(classifier, upload, ticket, top) for upload in uploads]

    def _classify(
        self, classifier: Classifier, upload: Upload, ticket: Ticket, top: int | None
    ) -> dict[str, Any]:
        with ticket.worker():
            started = time.perf_counter()
            result = classifier.classify_one(upload.data)
            milliseconds = 1000 * (time.perf_counter() - started)
        self._metrics.count_image(result)
        g.images = g.get("images", 0) + 1
        return image_result(upload.name, result, milliseconds=milliseconds, top=top)

    def _thumbnail(self, upload: Upload, ticket: Ticket) -> str | None:
        """Returns a thumbnail, or None for an image that only the decoder in a graph can read."""
        with ticket.worker():
            try:
                return request_images.thumbnail(upload.data, self._limits.images)
            except UnreadableImageError:
                return None

    def _error_page(self, error: HTTPException) -> str:
        return self._render(error=error)

    def _render(self, **values: object) -> str:
        return render_template(
            "page.html",
            labels=self._model.labels,
            top=self._limits.top,
            heat_maps=_HEAT_MAPS,
            max_body_bytes=self._limits.max_body_bytes,
            **values,
        )

    def _labels(self) -> ResponseReturnValue:
        return jsonify(labels=self._model.labels)

    def _openapi(self) -> ResponseReturnValue:
        return jsonify(self._description)


def _parse_top() -> int | None:
    text = request.args.get("top")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and int(text[:9]) >= 1 and len(text) < 9):
        raise BadRequest("top must be a number of labels: a whole number from 1 to 99999999")
    return int(text)


def _summarize_errors(results: list[dict[str, Any]]) -> str:
    if len(results) == 1:
        return f"the image cannot be labelled: {results[0]['error']}"
    return f"none of the {len(results)} images can be labelled; each has its own error"


def _watch_requests(app: Flask, metrics: ServerMetrics) -> None:
    """Adds the common headers to every response, and counts and logs every request."""

    @app.before_request
    def start() -> None:
        g.started = time.perf_counter()

    @app.after_request
    def finish(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.vary.add("Accept")
        seconds = time.perf_counter() - g.started
        route = request.url_rule.rule if request.url_rule else "none"
        metrics.count_request(request.method, route, response.status_code, seconds=seconds)
        logging.info(
            '%s "%s %s" %d %s bytes, %.1f ms, images: %d',
            request.remote_addr,
            request.method,
            request.full_path.removesuffix("?"),
            response.status_code,
            response.content_length,
            1000 * seconds,
            g.get("images", 0),
        )
        return response
