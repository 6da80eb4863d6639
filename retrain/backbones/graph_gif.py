"""Decodes the first frame of GIF files inside a graph (GIF89a specification).

TensorFlow's decoder makes transparent pixels black, and those that the first frame does not cover.
So the content of the file is changed before it is decoded: the transparent colour becomes white,
and no colour is transparent.
"""

from typing import Any, NamedTuple

from retrain.backbones.graph_bytes import FileBytes, loop, replace, require, require_size

_HEADER_BYTES = 13
_SCREEN_SIZE_POSITION, _SCREEN_FLAGS_POSITION = 6, 10
_EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL = 0xF9
_TRANSPARENT, _HAS_PALETTE = 0x01, 0x80


class _FirstFrame(NamedTuple):
    """Positions in a GIF file.

    Attributes:
        descriptor: Position of the image descriptor of the first frame.
        control: Position of its graphic control extension with a transparent colour, or 0.
    """

    descriptor: Any
    control: Any


def decode(contents: Any) -> Any:
    """Decodes the first frame of a GIF file on its logical screen, composited on white.

    The screen is extended to the right and downwards if the frame exceeds it.

    Args:
        contents: Content of the file, a string scalar tensor.

    Returns:
        A uint8 tensor [h, w, 3], RGB.
    """
    import tensorflow as tf

    file = FileBytes(contents)
    frame = _find_first_frame(file)
    is_frame = tf.equal(file.number(frame.descriptor, 1), _IMAGE)
    contents = require(is_frame, "The GIF file contains no image", contents)
    left, top, width, height = tf.unstack(
        file.number(frame.descriptor + tf.constant([1, 3, 5, 7]), 2, little=True)
    )
    screen_width, screen_height = tf.unstack(
        file.number(tf.constant([_SCREEN_SIZE_POSITION, _SCREEN_SIZE_POSITION + 2]), 2, little=True)
    )
    screen_width = tf.maximum(screen_width, left + width)
    screen_height = tf.maximum(screen_height, top + height)
    contents = require_size(screen_width, screen_height, contents)
    size = tf.stack([screen_width, screen_width // 256, screen_height, screen_height // 256])
    # The parts between the palette and the frame make pixels transparent, which are black then.
    palette_end = _HEADER_BYTES + _palette_bytes(
        file.number(tf.constant(_SCREEN_FLAGS_POSITION), 1)
    )
    white = _make_transparent_colour_white(file, contents, frame)
    parts = [
        tf.strings.substr(white, 0, _SCREEN_SIZE_POSITION),
        _to_string(size % 256),
        tf.strings.substr(white, _SCREEN_FLAGS_POSITION, palette_end - _SCREEN_FLAGS_POSITION),
        tf.strings.substr(white, frame.descriptor, 2**31 - 1),
    ]
    screen = tf.raw_ops.DecodeGif(contents=tf.strings.join(parts))[0]
    covered = screen[top : top + height, left : left + width]
    bottom, right = screen_height - top - height, screen_width - left - width
    margins = tf.stack([[top, bottom], [left, right], [0, 0]])
    return tf.pad(covered, margins, constant_values=255)


def _find_first_frame(file: FileBytes) -> _FirstFrame:
    import tensorflow as tf

    def continues(position: Any, control: Any, in_extension: Any) -> Any:
        del control
        block = file.number(position, 1)
        at_end = tf.equal(block, _IMAGE) | tf.equal(block, _END)
        return (position < file.size) & ((in_extension > 0) | ~at_end)

    def skip(position: Any, control: Any, in_extension: Any) -> list[Any]:
        value, label = file.number(position, 1), file.number(position + 1, 1)
        flags = file.number(position + 3, 1)
        begins = tf.equal(in_extension, 0) & tf.equal(value, _EXTENSION)
        is_control = begins & tf.equal(label, _GRAPHIC_CONTROL)
        is_transparent = tf.equal(tf.bitwise.bitwise_and(flags, _TRANSPARENT), _TRANSPARENT)
        # An extension consists of two bytes and of pieces that begin with their length. The last
        # piece has the length 0. Bytes between blocks are ignored.
        length = tf.where(in_extension > 0, value + 1, tf.where(begins, 2, 1))
        continues_extension = begins | ((in_extension > 0) & (value > 0))
        return [
            position + length,
            tf.where(is_control, tf.where(is_transparent, position, 0), control),
            tf.cast(continues_extension, tf.int32),
        ]

    start = file.constant(_HEADER_BYTES) + _palette_bytes(
        file.number(tf.constant(_SCREEN_FLAGS_POSITION), 1)
    )
    descriptor, control, _ = loop(continues, skip, [start, file.constant(0), file.constant(0)])
    return _FirstFrame(descriptor, control)


def _palette_bytes(flags: Any) -> Any:
    """Returns the size of the palette that the flags of a screen or an image describe."""
    import tensorflow as tf

    bits = tf.bitwise.bitwise_and(flags, 7) + 1
    return tf.where(flags >= _HAS_PALETTE, 3 * tf.bitwise.left_shift(1, bits), 0)


def _make_transparent_colour_white(file: FileBytes, contents: Any, frame: _FirstFrame) -> Any:
    import tensorflow as tf

    own_palette = _palette_bytes(file.number(frame.descriptor + 9, 1))
    screen_palette = _palette_bytes(file.number(tf.constant(_SCREEN_FLAGS_POSITION), 1))
    has_own = own_palette > 0
    palette = tf.where(has_own, frame.descriptor + 10, _HEADER_BYTES)
    colour = 3 * file.number(frame.control + 6, 1)
    exists = (frame.control > 0) & (colour < tf.where(has_own, own_palette, screen_palette))
    # Without a transparent colour, the first bytes of the file are replaced by themselves.
    position = tf.where(exists, palette + colour, 0)
    old = file.number(position + tf.range(3), 1)
    return replace(contents, position, _to_string(tf.where(exists, 255, old)))


def _to_string(values: Any) -> Any:
    """Returns a string scalar tensor of bytes with the values, int32 [N], 0 to 255."""
    import tensorflow as tf

    return tf.strings.reduce_join(tf.gather([bytes([value]) for value in range(256)], values))
