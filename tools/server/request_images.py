"""The images in a request, and what is refused before anything is decoded."""

import base64
import io
import re
from typing import NamedTuple

from flask import Request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from retrain.data import pixels

# The field of the form that has the files.
FIELD = "image"
MOST_IMAGES = 100
# Fields of the form that are not images, or empty, count too.
MOST_PARTS = 120

_THUMBNAIL_SIZE = 320

# A progressive JPEG file has ten scans or so. Each takes time for the whole image and may take a
# few bytes of the file only: with enough of them, a small file is decoded for hours.
_MOST_SCANS = 100
# The marker, a length, and how many colour components the length is for (ITU-T T.81, B.2.3). Less
# would be found by chance in the film that some phones append.
_START_OF_SCAN = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")


class Upload(NamedTuple):
    """An image as it came.

    Attributes:
        name: of the file on the sender's side, "" where the sender says none.
        data: its bytes.
    """

    name: str
    data: bytes


def uploads(request: Request) -> list[Upload]:
    """Returns the images in the form's field `image`, or the one that is the whole body.

    Raises:
        BadRequest: there is none.
        UnsupportedMediaType: the body is neither a form nor an image.
        RequestEntityTooLarge: there are too many bytes or files.
    """
    if request.mimetype.startswith("image/"):
        found = [Upload("", request.get_data(cache=False))]
    elif request.mimetype == "multipart/form-data":
        found = _files(request)
        # A browser sends a nameless file for a field where nobody chose one.
        found = [upload for upload in found if upload.name or upload.data]
    else:
        raise UnsupportedMediaType(
            f"expected multipart/form-data with files named {FIELD}, or an image with its content "
            f"type, such as image/jpeg; got {request.mimetype or 'no content type'}"
        )
    if len(found) > MOST_IMAGES:
        raise RequestEntityTooLarge(f"there are {len(found)} images, more than {MOST_IMAGES}")
    if not found or not any(upload.data for upload in found):
        raise BadRequest(f"there is no image; send one or more files named {FIELD}")
    return found


def _files(request: Request) -> list[Upload]:
    try:
        files = request.files.getlist(FIELD)
    except RequestEntityTooLarge as error:
        # Requests of too many bytes were refused before: by the server, at their head.
        raise RequestEntityTooLarge(f"the form has more than {MOST_PARTS} parts") from error
    return [Upload(file.filename or "", file.read()) for file in files]


def refusal(data: bytes, most_pixels: int) -> str | None:
    """Returns why the image is not to be decoded, None where it may be.

    Only its head is read, so a small file that would unpack to gigabytes costs nothing.
    """
    try:
        with pixels.open_image(data, most_pixels) as image:
            kind = image.format
    except pixels.UnreadableImageError as error:
        return str(error)
    if kind in ("JPEG", "MPO") and len(_START_OF_SCAN.findall(data)) > _MOST_SCANS:
        return f"it has more than {_MOST_SCANS} scans"
    return None


def thumbnail(data: bytes) -> str:
    """Returns the image, small and upright, as a `data:` address.

    Raises:
        UnreadableImageError: it is damaged.
    """
    file = io.BytesIO()
    upright = pixels.upright(data, _THUMBNAIL_SIZE, _THUMBNAIL_SIZE)
    upright.thumbnail((_THUMBNAIL_SIZE, _THUMBNAIL_SIZE))
    upright.save(file, "JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
