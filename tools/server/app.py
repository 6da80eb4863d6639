"""The web application: the page, the answers for programs, and what operators ask."""

import dataclasses
import logging
import time
from http import HTTPStatus
from pathlib import Path

from flask import Flask, Response, g, json, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, HTTPException

from label_image.classifier import Classifier, UnreadableImage
from tools.server import http_errors, request_images
from tools.server.answers import Answer, answer
from tools.server.metrics import CONTENT_TYPE, ServerMetrics
from tools.server.request_images import Upload
from tools.server.served_model import ServedModel
from tools.server.work_queue import Place, WorkQueue

_FILES = Path(__file__).with_name("files")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a request may have.

    Attributes:
        body_bytes: of the whole request.
        pixels: of an image, before it is resized.
        top: how many labels the page shows.
    """

    body_bytes: int = 20_000_000
    pixels: int = 50_000_000
    top: int = 5


def create_app(model: ServedModel, queue: WorkQueue, limits: Limits) -> Flask:
    """Returns the application, which any number of threads may call."""
    app = Flask(__name__, template_folder=_FILES / "templates", static_folder=_FILES / "static")
    app.config["MAX_CONTENT_LENGTH"] = limits.body_bytes
    app.config["MAX_FORM_PARTS"] = request_images.MOST_PARTS
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.merge_slashes = False
    metrics = ServerMetrics(model, queue)
    _Routes(app, model, queue, limits, metrics)
    _watch_requests(app, metrics)
    return app


class _Routes:
    def __init__(
        self,
        app: Flask,
        model: ServedModel,
        queue: WorkQueue,
        limits: Limits,
        metrics: ServerMetrics,
    ) -> None:
        self._model, self._queue, self._limits, self._metrics = model, queue, limits, metrics
        self._description = json.loads((_FILES / "openapi.json").read_bytes())
        http_errors.handle_errors(app, self._error_page)
        app.add_url_rule("/", "page", self._page)
        app.add_url_rule("/", "label", self._label, methods=["POST"])
        app.add_url_rule("/labels", "labels", self._labels)
        app.add_url_rule("/healthz", "healthz", self._healthz)
        app.add_url_rule("/readyz", "readyz", self._readyz)
        app.add_url_rule("/metrics", "metrics", self._metrics_text)
        app.add_url_rule("/openapi.json", "openapi", self._openapi)
        app.add_url_rule("/favicon.ico", "icon", lambda: app.send_static_file("icon.svg"))

    def _page(self) -> ResponseReturnValue:
        return self._render()

    def _label(self) -> ResponseReturnValue:
        top = _top()
        with self._queue.place() as place:
            uploads = request_images.uploads(request)
            if http_errors.wants_page():
                return self._label_for_people(uploads, place)
            answers = self._answers(uploads, place, top)
        if any("labels" in found for found in answers):
            return jsonify(images=answers)
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return jsonify(status=status, error=_no_image(answers), images=answers), status

    def _label_for_people(self, uploads: list[Upload], place: Place) -> ResponseReturnValue:
        answers = self._answers(uploads, place, self._limits.top)
        cards = [
            {**found, "thumbnail": _thumbnail(upload, place) if "labels" in found else None}
            for upload, found in zip(uploads, answers, strict=True)
        ]
        some = any("labels" in found for found in answers)
        return self._render(cards=cards), 200 if some else HTTPStatus.UNPROCESSABLE_ENTITY

    def _answers(self, uploads: list[Upload], place: Place, top: int | None) -> list[Answer]:
        # One for all of them, whatever happens to the file meanwhile.
        classifier = self._model.classifier
        return [self._answer(classifier, upload, place, top) for upload in uploads]

    def _answer(
        self, classifier: Classifier, upload: Upload, place: Place, top: int | None
    ) -> Answer:
        with place.turn():
            begun = time.perf_counter()
            refusal = request_images.refusal(upload.data, self._limits.pixels)
            classified = (
                UnreadableImage(upload.data, refusal)
                if refusal
                else classifier.classify_one(upload.data)
            )
            milliseconds = 1000 * (time.perf_counter() - begun)
        result = "unreadable" if isinstance(classified, UnreadableImage) else "labelled"
        self._metrics.count_image(result)
        g.images = g.get("pictures", 0) + 1
        return answer(upload.name, classified, milliseconds, top)

    def _error_page(self, error: HTTPException) -> str:
        return self._render(error=error)

    def _render(self, **values: object) -> str:
        return render_template(
            "page.html",
            labels=self._model.labels,
            top=self._limits.top,
            body_bytes=self._limits.body_bytes,
            **values,
        )

    def _labels(self) -> ResponseReturnValue:
        return jsonify(labels=self._model.labels)

    def _healthz(self) -> ResponseReturnValue:
        return jsonify(status="ok")

    def _readyz(self) -> ResponseReturnValue:
        """Ready is who has a classifier, and this one always has; the rest is for people."""
        return jsonify(
            status="ready",
            graph=str(self._model.graph),
            loaded_at=self._model.loaded_at.isoformat(timespec="seconds"),
            reload_error=self._model.reload_error,
            waiting_requests=self._queue.waiting,
        )

    def _metrics_text(self) -> ResponseReturnValue:
        return Response(self._metrics.text(), content_type=CONTENT_TYPE)

    def _openapi(self) -> ResponseReturnValue:
        return jsonify(self._description)


def _top() -> int | None:
    text = request.args.get("top")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and int(text[:9]) >= 1 and len(text) < 9):
        raise BadRequest("top is how many labels to tell: expected a whole number from 1 on")
    return int(text)


def _no_image(answers: list[Answer]) -> str:
    if len(answers) == 1:
        return f"the image cannot be labelled: {answers[0]['error']}"
    return f"none of the {len(answers)} images can be labelled; each says why"


def _thumbnail(upload: Upload, place: Place) -> str:
    with place.turn():
        return request_images.thumbnail(upload.data)


def _watch_requests(app: Flask, metrics: ServerMetrics) -> None:
    """Adds the headers that every answer has, and counts and logs every request."""

    @app.before_request
    def begin() -> None:
        g.begun = time.perf_counter()

    @app.after_request
    def end(response: Response) -> Response:
        response.headers.update(_HEADERS)
        response.vary.add("Accept")
        seconds = time.perf_counter() - g.begun
        route = request.url_rule.rule if request.url_rule else "none"
        metrics.count_request(request.method, route, response.status_code, seconds)
        logging.info(
            '%s "%s %s" %d %s bytes, %.1f ms, images: %d',
            request.remote_addr,
            request.method,
            request.full_path.removesuffix("?"),
            response.status_code,
            response.content_length,
            1000 * seconds,
            g.get("pictures", 0),
        )
        return response
