"""Answers errors with the right status: JSON for programs, a page for browsers."""

import logging
import traceback
from collections.abc import Callable

from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException, InternalServerError, ServiceUnavailable

from tools.server.work_queue import BusyError

# Seconds after which a client can repeat a request that was refused because the server was busy.
RETRY_AFTER = 1

ErrorPage = Callable[[HTTPException], str]


def prefers_html() -> bool:
    """Returns whether the client prefers HTML to JSON, as a browser that submits a form does."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def handle_errors(app: Flask, error_page: ErrorPage) -> None:
    """Registers error handlers.

    Args:
        app: Application to add the handlers to.
        error_page: Function that returns the HTML page for an error.
    """

    def respond(error: HTTPException) -> Response:
        # Keeps the headers of the error, such as Allow and Retry-After.
        response = Response(status=error.code, headers=dict(error.get_headers()))
        if prefers_html():
            response.data = error_page(error)
            response.content_type = "text/html; charset=utf-8"
        else:
            response.data = as_json(error.code or 500, error.description or error.name)
            response.content_type = "application/json"
        return response

    def respond_busy(error: BusyError) -> Response:
        return respond(ServiceUnavailable(f"the server is busy: {error}", retry_after=RETRY_AFTER))

    def respond_defect(error: Exception) -> Response:
        log_defect(error)
        return respond(InternalServerError("the server has a defect; see its log for details"))

    app.register_error_handler(HTTPException, respond)
    app.register_error_handler(BusyError, respond_busy)
    app.register_error_handler(Exception, respond_defect)


def log_defect(error: Exception) -> None:
    """Logs an exception that no request should cause, with its traceback."""
    logging.error("a defect of the server: %s", "".join(traceback.format_exception(error)))


def as_json(status: int, message: str) -> bytes:
    """Returns the body of an error response."""
    return json.dumps({"status": status, "error": message}).encode() + b"\n"
