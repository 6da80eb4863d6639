"""Reads the Exif orientation of JPEG and PNG files inside a graph.

The rule is step 5 in `retrain.data.pixels`. The Exif block (CIPA DC-008, 4.5) is a TIFF file: a
header that states the byte order, and a table of entries of 12 bytes each.
"""

from typing import Any

from retrain.backbones import graph_png
from retrain.backbones.graph_bytes import FileBytes, starts_with, switch, walk

_ORIENTATION_TAG, _SHORT = 0x0112, 3
_HEADER_BYTES, _ENTRY_BYTES = 8, 12

# JPEG markers (ITU-T T.81, B.1.1.3).
_EXIF = b"Exif\0"
_MARKER, _APP1, _END_OF_IMAGE, _START_OF_SCAN = 0xFF, 0xE1, 0xD9, 0xDA
_FIRST_WITHOUT_LENGTH, _LAST_WITHOUT_LENGTH, _TEMPORARY = 0xD0, 0xD8, 0x01


def find_orientation(contents: Any) -> Any:
    """Returns the Exif orientation, an int32 scalar from 1 to 8, or 1 if the file has none.

    Args:
        contents: Content of an image file, a string scalar tensor.
    """
    import tensorflow as tf

    def of_jpeg(jpeg: Any) -> Any:
        file = FileBytes(jpeg)
        return _read_orientation(file, *_find_block_in_jpeg(file))

    def of_png(png: Any) -> Any:
        file = FileBytes(png)
        return _read_orientation(file, *graph_png.find_chunk(file, b"eXIf"))

    return switch(
        starts_with(contents, b"\xff\xd8"),
        contents,
        of_jpeg,
        lambda other: switch(
            starts_with(other, graph_png.SIGNATURE),
            other,
            of_png,
            lambda unknown: tf.strings.length(unknown) * 0 + 1,
        ),
    )


def _find_block_in_jpeg(file: FileBytes) -> tuple[Any, Any]:
    """Returns the start and the end of the Exif block, which are equal if there is none."""
    import tensorflow as tf

    def step(position: Any) -> Any:
        first, marker, high, low, *magic = tf.unstack(file.window(position, 4 + len(_EXIF)))
        is_exif = tf.equal(marker, _APP1) & tf.reduce_all(tf.equal(tf.stack(magic), list(_EXIF)))
        at_end = is_exif | tf.reduce_any(tf.equal(marker, [_START_OF_SCAN, _END_OF_IMAGE]))
        has_no_length = (marker >= _FIRST_WITHOUT_LENGTH) & (marker <= _LAST_WITHOUT_LENGTH)
        has_no_length |= tf.reduce_any(tf.equal(marker, [0, _TEMPORARY]))
        length = tf.where(has_no_length, 2, 2 + 256 * high + low)
        # Other bytes, and any number of bytes 0xFF, can precede a marker.
        is_marker = tf.equal(first, _MARKER) & tf.not_equal(marker, _MARKER)
        return position + tf.where(is_marker, tf.where(at_end, 0, length), 1)

    segment = walk(file, 2, step)
    is_exif = tf.equal(file.number(segment + 1, 1), _APP1) & file.matches(segment + 4, _EXIF)
    end = segment + 2 + file.number(segment + 2, 2)
    exists = is_exif & (end <= file.size)
    return tf.where(exists, segment + 10, end), end


def _read_orientation(file: FileBytes, start: Any, end: Any) -> Any:
    """Returns the orientation in a TIFF file between two positions."""
    import tensorflow as tf

    little = file.matches(start, b"II*\0")
    table = file.number(start + 4, 4, little=little)
    fits = (table >= 0) & (table <= end - start - 2)
    table = start + tf.where(fits, table, 0)
    count = file.number(table, 2, little=little)
    fits &= table + 2 + _ENTRY_BYTES * count <= end
    fits &= (start + _HEADER_BYTES <= end) & (little | file.matches(start, b"MM\0*"))
    entries = table + 2 + _ENTRY_BYTES * tf.range(tf.where(fits, count, 0))
    is_orientation = (
        tf.equal(file.number(entries, 2, little=little), _ORIENTATION_TAG)
        & tf.equal(file.number(entries + 2, 2, little=little), _SHORT)
        & tf.equal(file.number(entries + 4, 4, little=little), 1)
    )
    values = file.number(tf.boolean_mask(entries, is_orientation) + 8, 2, little=little)
    value = tf.concat([values, [1]], 0)[0]
    return tf.where((value >= 1) & (value <= 8), value, 1)
