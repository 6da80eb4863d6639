"""Answers health checks. A healthy server can label images."""

from http import HTTPStatus

from flask import jsonify
from flask.typing import ResponseReturnValue

from tools.server.work_queue import WorkQueue


def respond(queue: WorkQueue, status: str, **details: object) -> ResponseReturnValue:
    """Returns the response to a health check.

    No image is labelled for it. Instead, it fails if a worker does not finish an image.

    Args:
        queue: Queue of the server.
        status: Status of a healthy server.
        **details: Further fields of the response.
    """
    if queue.is_stuck:
        error = "labelling an image takes too long"
        fields = {"status": HTTPStatus.SERVICE_UNAVAILABLE, "error": error, **details}
        return jsonify(fields), HTTPStatus.SERVICE_UNAVAILABLE
    return jsonify(status=status, **details)
