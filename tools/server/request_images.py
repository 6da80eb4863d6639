"""Reads the images of a request and makes thumbnails of them."""

import base64
import io
from typing import NamedTuple

from flask import Request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from retrain.data import pixels
from retrain.data.image_limits import ImageLimits
from tools.server import image_form

# Name of the form field with the files.
FIELD = "image"
MAX_IMAGES = 100
_THUMBNAIL_SIZE = 320


class Upload(NamedTuple):
    """An uploaded image file.

    Attributes:
        name: File name given by the client, "" if there is none.
        data: Content of the file.
    """

    name: str
    data: bytes


def read_uploads(request: Request) -> list[Upload]:
    """Returns the files of the form field `image`, or the body if it is an image itself.

    Raises:
        BadRequest: If there is no image.
        UnsupportedMediaType: If the body is neither a form nor an image.
        RequestEntityTooLarge: If there are too many bytes or files.
    """
    if request.mimetype.startswith("image/"):
        found = [Upload("", request.get_data(cache=False))]
    elif request.mimetype == "multipart/form-data":
        found = _read_form(request)
        # A browser sends a nameless, empty file for a field that the user left empty.
        found = [upload for upload in found if upload.name or upload.data]
    else:
        raise UnsupportedMediaType(
            f"expected multipart/form-data with files named {FIELD}, or an image with its content "
            f"type, such as image/jpeg; got {request.mimetype or 'no content type'}"
        )
    if len(found) > MAX_IMAGES:
        raise RequestEntityTooLarge(f"the request has {len(found)} images, more than {MAX_IMAGES}")
    if not found or not any(upload.data for upload in found):
        raise BadRequest(f"there is no image; send one or more files named {FIELD}")
    return found


def _read_form(request: Request) -> list[Upload]:
    body, boundary = request.get_data(cache=False), request.mimetype_params.get("boundary", "")
    return [Upload(name, data) for name, data in image_form.read_files(body, boundary, FIELD)]


def thumbnail(data: bytes, limits: ImageLimits) -> str:
    """Returns a small upright version of the image as a `data:` URL.

    Raises:
        UnreadableImageError: If the image is damaged, or there is not enough memory.
    """
    file = io.BytesIO()
    upright = pixels.decode_upright(data, _THUMBNAIL_SIZE, _THUMBNAIL_SIZE, limits=limits)
    with pixels.refuse_without_memory():
        upright.thumbnail((_THUMBNAIL_SIZE, _THUMBNAIL_SIZE))
        upright.save(file, "JPEG")
    return as_url(file.getvalue())


def as_url(jpeg: bytes) -> str:
    """Returns the content of a JPEG file as a `data:` URL."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
