"""Errors with the right status: JSON for programs, the page with a sentence for browsers."""

import logging
import traceback
from collections.abc import Callable

from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException, InternalServerError, ServiceUnavailable

from tools.server.work_queue import BusyError

# Seconds after which a client that was sent away may try again.
RETRY_AFTER = 1

Page = Callable[[HTTPException], str]


def wants_page() -> bool:
    """Tells whether the client would rather read HTML than JSON: a browser that sends a form."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def handle_errors(app: Flask, page: Page) -> None:
    """Makes `app` answer errors as this module says.

    Args:
        app: to add handlers to.
        page: returns the HTML that tells a person of the error.
    """

    def answer(error: HTTPException) -> Response:
        # Its headers, such as Allow and Retry-After, stay.
        response = Response(status=error.code, headers=dict(error.get_headers()))
        if wants_page():
            response.data = page(error)
            response.content_type = "text/html; charset=utf-8"
        else:
            response.data = as_json(error.code or 500, error.description or error.name)
            response.content_type = "application/json"
        return response

    def busy(error: BusyError) -> Response:
        return answer(ServiceUnavailable(f"the server is busy: {error}", retry_after=RETRY_AFTER))

    def defect(error: Exception) -> Response:
        logging.error("a defect of the server: %s", "".join(traceback.format_exception(error)))
        return answer(InternalServerError("the server has a defect; its log says more"))

    app.register_error_handler(HTTPException, answer)
    app.register_error_handler(BusyError, busy)
    app.register_error_handler(Exception, defect)


def as_json(status: int, message: str) -> bytes:
    """Returns the body of an error."""
    return json.dumps({"status": status, "error": message}).encode() + b"\n"
