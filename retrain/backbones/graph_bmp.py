"""Decodes BMP files inside a graph, apart from those with run-length encoding.

TensorFlow's decoder supports only some files, and takes indices of colours for shades of grey.
"""

from collections.abc import Callable
from typing import Any

from retrain.backbones.graph_bytes import FileBytes, require, require_size, switch
from retrain.backbones.graph_png import composite_on_white

# Positions of fields in the headers BITMAPCOREHEADER, of 12 bytes, and BITMAPINFOHEADER, with its
# extensions by colour masks.
_FILE_HEADER_BYTES, _CORE_HEADER_BYTES, _ALPHA_HEADER_BYTES = 14, 12, 56
_PIXELS, _HEADER_SIZE = 10, 14
_CORE_WIDTH, _CORE_HEIGHT, _CORE_BITS = 18, 20, 24
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOURS = 18, 22, 28, 30, 46
_MASKS, _ALPHA_MASK = 54, 66

_UNCOMPRESSED, _WITH_MASKS = 0, 3
_MASKS_565 = [0xF800, 0x07E0, 0x001F]
_MASKS_555 = [0x7C00, 0x03E0, 0x001F]


def decode(contents: Any) -> Any:
    """Decodes a BMP file.

    Its alpha channel counts only if the header has a mask for it, and if any of it is not 0.

    Args:
        contents: Content of the file, a string scalar tensor.

    Returns:
        A uint8 tensor [h, w, 3], RGB.
    """
    import tensorflow as tf

    file = FileBytes(contents)

    def field(position: int, length: int = 4) -> Any:
        return file.number(tf.constant(position), length, little=True)

    header = field(_HEADER_SIZE)
    core = tf.equal(header, _CORE_HEADER_BYTES)
    bits = tf.where(core, field(_CORE_BITS, 2), field(_BITS, 2))
    compression = tf.where(core, _UNCOMPRESSED, field(_COMPRESSION))
    width = tf.where(core, field(_CORE_WIDTH, 2), field(_WIDTH))
    height = tf.where(core, field(_CORE_HEIGHT, 2), field(_HEIGHT))
    has_masks = tf.equal(compression, _WITH_MASKS)
    masks = tf.stack([field(_MASKS + 4 * i) for i in range(3)])
    alpha_mask = tf.where(header >= _ALPHA_HEADER_BYTES, field(_ALPHA_MASK), 0)

    colours = tf.where(core, 0, field(_COLOURS))
    colours = tf.where(tf.equal(colours, 0), tf.bitwise.left_shift(1, bits), colours)
    entry_bytes = tf.where(core, 3, 4)
    palette_start = _FILE_HEADER_BYTES + header
    palette_bytes = tf.where(bits <= 8, entry_bytes * colours, 0)
    start = field(_PIXELS)
    # Some programs leave the position of the pixels out, or forget the palette.
    start = tf.where((start <= palette_start) & (bits <= 8), palette_start + palette_bytes, start)

    row_bytes = (width * bits + 31) // 32 * 4
    # Some programs leave out the bytes that fill the last row.
    values = tf.concat([file.values, tf.zeros(3, tf.uint8)], 0)
    supported = tf.reduce_any(tf.equal(bits, [1, 4, 8, 16, 24, 32]))
    supported &= tf.equal(compression, _UNCOMPRESSED) | (has_masks & (bits >= 16))
    start = require(
        supported,
        "The graph decodes only BMP files without compression; pass other images as pixels",
        start,
    )
    values = require_size(width, tf.abs(height), values)
    values = require(
        tf.size(values) - start >= row_bytes * tf.abs(height), "The BMP file is cut off", values
    )
    rows = tf.reshape(
        values[start : start + row_bytes * tf.abs(height)], [tf.abs(height), row_bytes]
    )

    def indexed(rows: Any) -> Any:
        entries = palette_start + tf.range(256)[:, tf.newaxis] * entry_bytes + [2, 1, 0]
        palette = tf.cast(file.number(entries, 1), tf.uint8)
        exists = tf.range(256)[:, tf.newaxis] < colours
        palette = tf.where(exists, palette, tf.zeros_like(palette))
        return tf.gather(palette, _unpack(rows, bits)[:, :width])

    def true_colour(rows: Any) -> Any:
        pixels = tf.reshape(rows[:, : width * (bits // 8)], [tf.abs(height), width, bits // 8])

        def in_masks(pixels: Any) -> Any:
            return switch(
                tf.equal(bits, 16),
                pixels,
                lambda pixels: _decode_16_bits(pixels, masks, has_masks),
                lambda pixels: _decode_32_bits(pixels, masks, alpha_mask),
            )

        plain = (bits >= 24) & ~has_masks
        return switch(plain, pixels, lambda pixels: pixels[:, :, 2::-1], in_masks)

    image = switch(bits <= 8, rows, indexed, true_colour)
    return tf.raw_ops.Reverse(tensor=image, dims=tf.stack([core | (height > 0), False, False]))


def _unpack(rows: Any, bits: Any) -> Any:
    """Returns the numbers of 1, 4 or 8 bits in rows of bytes, int32 [h, numbers in a row]."""
    import tensorflow as tf

    def split(bits: int) -> Callable[[Any], Any]:
        def run(rows: Any) -> Any:
            shifts = tf.range(8 - bits, -1, -bits)
            values = tf.cast(rows, tf.int32)[:, :, tf.newaxis]
            numbers = tf.bitwise.bitwise_and(tf.bitwise.right_shift(values, shifts), 2**bits - 1)
            return tf.reshape(numbers, [tf.shape(rows)[0], -1])

        return run

    return switch(
        tf.equal(bits, 8),
        rows,
        split(8),
        lambda rows: switch(tf.equal(bits, 4), rows, split(4), split(1)),
    )


def _decode_16_bits(pixels: Any, masks: Any, has_masks: Any) -> Any:
    """Returns RGB pixels for two bytes with five bits per colour, or six for green."""
    import tensorflow as tf

    is_565 = has_masks & tf.reduce_all(tf.equal(masks, _MASKS_565))
    is_known = ~has_masks | is_565 | tf.reduce_all(tf.equal(masks, _MASKS_555))
    pixels = require(
        is_known, "The graph does not support the colour masks of this BMP file", pixels
    )
    values = tf.cast(pixels, tf.int32)
    values = (values[:, :, :1] + 256 * values[:, :, 1:]) * [1, 1, 1]
    shifts = tf.where(is_565, [11, 5, 0], [10, 5, 0])
    largest = tf.where(is_565, [31, 63, 31], [31, 31, 31])
    values = tf.bitwise.bitwise_and(tf.bitwise.right_shift(values, shifts), largest)
    return tf.cast(values * 255 // largest, tf.uint8)


def _decode_32_bits(pixels: Any, masks: Any, alpha_mask: Any) -> Any:
    """Returns RGB pixels for bytes in the order that masks of one byte each describe."""
    import tensorflow as tf

    # As in Pillow, masks of 0 mean the usual order.
    masks = tf.where(tf.reduce_all(tf.equal(masks, 0)), [0xFF0000, 0xFF00, 0xFF], masks)
    byte_masks = tf.constant([0xFF, 0xFF00, 0xFF0000, -(1 << 24)])

    def order(masks: Any) -> Any:
        return tf.cast(tf.equal(masks[:, tf.newaxis], byte_masks), tf.int32)

    is_colour, is_alpha = order(masks), order(alpha_mask[tf.newaxis])
    known = tf.reduce_all(tf.equal(tf.reduce_sum(is_colour, 1), 1))
    known &= tf.equal(alpha_mask, 0) | tf.equal(tf.reduce_sum(is_alpha), 1)
    pixels = require(known, "The graph does not support the colour masks of this BMP file", pixels)
    rgb = tf.gather(pixels, tf.argmax(is_colour, 1), axis=2)

    def with_alpha(rgb: Any) -> Any:
        alpha = tf.gather(pixels, tf.argmax(is_alpha, 1), axis=2)
        # Many programs write zeros in place of an alpha channel.
        alpha = tf.where(tf.reduce_all(tf.equal(alpha, 0)), tf.constant(255, tf.uint8), alpha)
        return composite_on_white(tf.concat([rgb, alpha], 2))

    return switch(tf.equal(alpha_mask, 0), rgb, tf.identity, with_alpha)
