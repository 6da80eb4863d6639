"""Reads the segments before the pixels of a JPEG file, and removes those that are not needed.

The format is specified in ITU-T T.81, annex B.
"""

from typing import NamedTuple

START = b"\xff\xd8"

_COMMENT = 0xFE
_START_OF_SCAN, _END = 0xDA, 0xD9
# These markers have no length.
_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LOSSLESS_FRAMES = {0xC3, 0xC7, 0xCB, 0xCF}
_ARITHMETIC_FRAMES = {0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
# JFIF, and Adobe's segment, which states how colours are stored.
_NEEDED_APPLICATIONS = {0xE0, 0xEE}
_APPLICATIONS = set(range(0xE0, 0xF0))
_EXIF_SEGMENT, _EXIF_MAGIC, _EXIF_MAGIC_BYTES = 0xE1, b"Exif\0", 6


class JpegFile(NamedTuple):
    """What the segments before the pixels say.

    Attributes:
        data: The file without the segments that the pixels do not need.
        exif: Exif block from its TIFF header on; b"" if there is none.
        kind: Name of the variant of JPEG, "" for the usual ones.
    """

    data: bytes
    exif: bytes
    kind: str


def parse(data: bytes) -> JpegFile:
    """Parses a file that starts with START. Never fails: a decoder finds the damage."""
    kept = [data[:2]]
    exif, kind = b"", ""
    position = 2
    while True:
        # Decoders skip bytes between segments, too.
        start = data.find(b"\xff", position)
        if start < 0:
            break
        position = start + 1
        while data[position : position + 1] == b"\xff":
            position += 1
        marker = data[position] if position < len(data) else _END
        position += 1
        if marker == 0 or marker in _STANDALONE:
            continue
        if marker in (_START_OF_SCAN, _END):
            position = start
            break
        content = position + 2
        end = position + int.from_bytes(data[position:content], "big")
        if end < content or end > len(data):
            position = start
            break
        if marker == _EXIF_SEGMENT and not exif and data.startswith(_EXIF_MAGIC, content):
            # One without a TIFF header still counts as the first.
            exif = data[content + _EXIF_MAGIC_BYTES : end] or b"\0"
        if marker in _FRAMES and content < end:
            kind = kind or _kind(marker, bits=data[content])
        if marker not in (_APPLICATIONS - _NEEDED_APPLICATIONS) | {_COMMENT}:
            kept.append(b"\xff" + data[position - 1 : end])
        position = end
    if start < 0:
        return JpegFile(data, exif, kind)
    return JpegFile(b"".join((*kept, data[position:])), exif, kind)


def _kind(marker: int, *, bits: int) -> str:
    if marker in _LOSSLESS_FRAMES:
        return "a lossless JPEG file"
    if bits != 8:
        return f"a JPEG file with {bits} bits per sample"
    if marker in _ARITHMETIC_FRAMES:
        return "a JPEG file with arithmetic coding"
    return ""
