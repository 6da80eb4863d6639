"""Names the formats of files that cannot be decoded, for messages."""

import re

READABLE = "JPEG, PNG, BMP, GIF, WebP, HEIC or AVIF"

_UNREADABLE = (
    (re.compile(rb"II\*\0\x10\0\0\0CR"), "a Canon raw file"),
    (re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+"), "a TIFF file, or a camera's raw file"),
    (re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"), "a JPEG 2000 file"),
    (re.compile(rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a"), "a JPEG XL file"),
    (re.compile(rb"II\xbc"), "a JPEG XR file"),
    (re.compile(rb"%PDF"), "a PDF file"),
    (re.compile(rb"8BPS"), "a Photoshop file"),
    (re.compile(rb"\0\0[\1\2]\0"), "an icon or cursor file"),
    (re.compile(rb"P[1-7]\s"), "a Netpbm file"),
    (re.compile(rb"[^<]{0,100}<(svg|!DOCTYPE svg|\?xml.{0,1000}<svg)", re.S), "an SVG file"),
    (re.compile(rb"\x8aMNG|\x8bJNG"), "an MNG or JNG file"),
    (re.compile(rb"gimp xcf"), "a GIMP file"),
    (re.compile(rb"\x1aE\xdf\xa3"), "a Matroska or WebM video"),
    (re.compile(rb"(?i)\s*<(!doctype )?html"), "an HTML page"),
    (re.compile(rb".{4}ftyp(isom|iso[2-9]|mp4[12]|avc1|qt  |M4V |3gp.)", re.S), "a video"),
    (re.compile(rb".{4}ftypcrx ", re.S), "a Canon raw file"),
)
_HEAD_BYTES = 2048


def describe_unreadable(data: bytes) -> str:
    """Returns why data that is of no readable format cannot be decoded."""
    expected = f"it is not a {READABLE} file"
    name = name_unreadable(data)
    return f"{expected} but {name}" if name else f"{expected}, or its header is damaged"


def name_unreadable(data: bytes) -> str | None:
    """Returns the name of the format, such as "a TIFF file", or None if it is not a known one."""
    head = data[:_HEAD_BYTES]
    return next((name for pattern, name in _UNREADABLE if pattern.match(head)), None)
