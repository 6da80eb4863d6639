"""Reads the segments of a JPEG file, and removes those that its pixels do not need.

The format is specified in ITU-T T.81, annex B.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from retrain.data.image_limits import ImageLimits
from retrain.data.unreadable_image import UnreadableImageError

START = b"\xff\xd8"

_COMMENT = 0xFE
_START_OF_SCAN, _END = 0xDA, 0xD9
# Other markers have no length. Decoders skip bytes between segments, too.
_SEGMENT = re.compile(rb"\xff[^\xff\0\1\xd0-\xd8]")
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE_FRAMES = {0xC2, 0xC6, 0xCA, 0xCE}
_LOSSLESS_FRAMES = {0xC3, 0xC7, 0xCB, 0xCF}
_ARITHMETIC_FRAMES = {0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_FRAME_HEADER_BYTES, _COMPONENT_BYTES = 6, 3
# JFIF, and Adobe's segment, which states how colours are stored.
_NEEDED_APPLICATIONS = {0xE0, 0xEE}
_UNNEEDED = (set(range(0xE0, 0xF0)) - _NEEDED_APPLICATIONS) | {_COMMENT}
_EXIF_SEGMENT, _EXIF_MAGIC, _EXIF_MAGIC_BYTES = 0xE1, b"Exif\0", 6
_COEFFICIENT_BYTES = 2


class JpegFile(NamedTuple):
    """What the segments say.

    Attributes:
        data: The file without the segments that the pixels do not need.
        exif: Exif block from its TIFF header on; b"" if there is none.
        kind: Name of the variant of JPEG, "" for the usual ones.
        scans: Number of scans that are decoded, at least 1.
        coefficient_bytes: Memory that a decoder keeps for each pixel until the last scan.
    """

    data: bytes
    exif: bytes
    kind: str
    scans: int
    coefficient_bytes: float


class _Segment(NamedTuple):
    """A segment: its marker, and the positions of the marker, the content and the end."""

    marker: int
    start: int
    content: int
    end: int


def parse(data: bytes, limits: ImageLimits) -> JpegFile:
    """Parses a file that starts with START.

    Raises:
        UnreadableImageError: If there are too many segments or scans, they are too large, or there
            is no scan. Other damage is left to the decoder.
    """
    kept = [data[:2]]
    exif, frame, head_bytes = b"", None, 0
    first_scan = None
    segments = _segments(data, limits)
    for segment in segments:
        marker, start, content, end = segment
        if marker == _START_OF_SCAN:
            first_scan = segment
            break
        if marker == _EXIF_SEGMENT and not exif and data.startswith(_EXIF_MAGIC, content):
            # One without a TIFF header still counts as the first.
            exif = data[content + _EXIF_MAGIC_BYTES : end] or b"\0"
        if marker in _FRAMES and content < end:
            if frame:
                raise UnreadableImageError("it is damaged (there are two frame headers)")
            frame = segment
        if marker not in _UNNEEDED:
            head_bytes += end - start
            limits.check_head(head_bytes)
            kept.append(data[start:end])
    if not first_scan:
        raise UnreadableImageError("it is damaged (it ends before its pixels)")
    kept.append(data[first_scan.start :])
    scans, coefficient_bytes = 1, 0.0
    if frame and _has_several_scans(data, frame, first_scan):
        scans = 1 + _count_scans(segments, limits)
        coefficient_bytes = _COEFFICIENT_BYTES * _samples_per_pixel(data, frame)
    kind = _kind(frame.marker, bits=data[frame.content]) if frame else ""
    return JpegFile(b"".join(kept), exif, kind, scans, coefficient_bytes)


def _segments(data: bytes, limits: ImageLimits) -> Iterator[_Segment]:
    """Yields the segments up to the end of the image or of the file."""
    position = len(START)
    count = 0
    while found := _SEGMENT.search(data, position):
        start, content = found.start(), found.end() + 2
        marker = data[start + 1]
        # Decoders take a length that is too small for the length itself for an empty segment.
        end = max(content, found.end() + int.from_bytes(data[found.end() : content], "big"))
        if marker == _END or end > len(data):
            return
        yield _Segment(marker, start, content, end)
        position = end
        count += 1
        limits.check_parts(count, "segments")


def _has_several_scans(data: bytes, frame: _Segment, scan: _Segment) -> bool:
    """Returns whether a decoder must read all scans before it returns pixels."""
    components = data[frame.content + 5 : frame.content + 6]
    return (
        frame.marker in _PROGRESSIVE_FRAMES or data[scan.content : scan.content + 1] != components
    )


def _count_scans(segments: Iterator[_Segment], limits: ImageLimits) -> int:
    count = 0
    for segment in segments:
        count += segment.marker == _START_OF_SCAN
        if count >= limits.scans:
            raise UnreadableImageError(f"it has more than {limits.scans} scans")
    return count


def _samples_per_pixel(data: bytes, frame: _Segment) -> float:
    """Returns the number of samples in all components for each pixel of the image."""
    first = frame.content + _FRAME_HEADER_BYTES
    factors = data[first + 1 : frame.end : _COMPONENT_BYTES]
    sides = [(factor >> 4, factor & 15) for factor in factors]
    largest = max((x for x, _ in sides), default=0) * max((y for _, y in sides), default=0)
    return sum(x * y for x, y in sides) / largest if largest else 0


def _kind(marker: int, *, bits: int) -> str:
    if marker in _LOSSLESS_FRAMES:
        return "a lossless JPEG file"
    if bits != 8:
        return f"a JPEG file with {bits} bits per sample"
    if marker in _ARITHMETIC_FRAMES:
        return "a JPEG file with arithmetic coding"
    return ""
