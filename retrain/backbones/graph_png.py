"""Decodes PNG files inside a graph, and finds chunks in them (PNG specification, chapter 5)."""

from typing import Any

import numpy as np

from retrain.backbones.graph_bytes import (
    FileBytes,
    loop,
    require,
    require_size,
    starts_with,
    switch,
    walk,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"

# The graph decodes all files as PNG that do not start like a file of another format.
_UNKNOWN_FORMAT = "Unknown image file format: expected a JPEG, PNG, BMP or GIF file"

# A chunk consists of its length and its type, of four bytes each, its content and a checksum.
_HEADER_BYTES = 8
_LAST_CHUNKS = [list(b"IDAT"), list(b"IEND")]
_WIDTH_POSITION, _HEIGHT_POSITION = 16, 20
_DEPTH_POSITION, _COLOUR_TYPE_POSITION = 24, 25
_GREY, _MAX_DEPTH = 0, 16

_CRC_POLYNOMIAL = 0xEDB88320
# Longer chunks, of more than 2**20 bytes, are ignored.
_CRC_LEVELS = 20


def find_chunk(file: FileBytes, name: bytes) -> tuple[Any, Any]:
    """Returns the start and the end of the content of a chunk before the pixels.

    They are equal if there is no such chunk, or if the checksum of the first one is wrong.

    Args:
        file: The PNG file.
        name: Type of the chunk.
    """
    import tensorflow as tf

    def step(position: Any) -> Any:
        length = file.number(position, 4)
        is_end = tf.equal(file.window(position + 4, 4), [list(name), *_LAST_CHUNKS])
        at_end = tf.reduce_any(tf.reduce_all(is_end, 1)) | (length < 0) | (length >= file.size)
        return position + tf.where(at_end, 0, _HEADER_BYTES + length + 4)

    chunk = walk(file, len(SIGNATURE), step)
    start = chunk + _HEADER_BYTES
    end = start + file.number(chunk, 4)
    exists = file.matches(chunk + 4, name) & (end > start) & (end <= file.size - 4)
    end = tf.where(exists, end, start)
    valid = exists & _has_valid_checksum(file, chunk + 4, end)
    return start, tf.where(valid, end, start)


def decode(contents: Any) -> Any:
    """Decodes a PNG file, and composites it on white.

    Args:
        contents: Content of the file, a string scalar tensor. Other files end the run.

    Returns:
        A uint8 tensor [h, w, 3], RGB.
    """
    import tensorflow as tf

    contents = require(starts_with(contents, SIGNATURE), _UNKNOWN_FORMAT, contents)
    file = FileBytes(contents)
    width, height = tf.unstack(file.number(tf.constant([_WIDTH_POSITION, _HEIGHT_POSITION]), 4))
    contents = require_size(width, height, contents)
    start, end = find_chunk(file, b"sBIT")
    bits = tf.where(tf.equal(end - start, 1), file.number(start, 1), 0)
    is_grey = tf.equal(file.number(tf.constant(_COLOUR_TYPE_POSITION), 1), _GREY)
    depth = file.number(tf.constant(_DEPTH_POSITION), 1)
    rgba = switch(
        is_grey & tf.equal(depth, _MAX_DEPTH) & (bits > 0) & (bits < _MAX_DEPTH),
        contents,
        lambda deep: _decode_significant_bits(deep, bits),
        lambda usual: tf.raw_ops.DecodePng(contents=usual, channels=4),
    )
    # Opaque greyscale pixels of fewer than 8 bits get an alpha of as many bits.
    opaque_alpha = tf.where(is_grey & (depth < 8), 1, 255)
    opaque = tf.reduce_all(rgba[:, :, 3] >= tf.cast(opaque_alpha, tf.uint8))
    return switch(opaque, rgba, lambda image: image[:, :, :3], composite_on_white)


def composite_on_white(rgba: Any) -> Any:
    """Returns a uint8 tensor [h, w, 3] for a uint8 tensor [h, w, 4] with an alpha channel."""
    import tensorflow as tf

    values = tf.cast(rgba, tf.float32)
    alpha = values[:, :, 3:]
    blended = (values[:, :, :3] * alpha + 255.0 * (255.0 - alpha)) / 255.0
    return tf.cast(tf.floor(blended + 0.5), tf.uint8)


def _decode_significant_bits(contents: Any, bits: Any) -> Any:
    """Returns the top 8 of a number of bits of a greyscale file with samples of 16 bits."""
    import tensorflow as tf

    rgba = tf.raw_ops.DecodePng(contents=contents, channels=4, dtype=tf.uint16)
    values = tf.cast(rgba, tf.int32)
    fits = tf.reduce_max(values[:, :, 0]) < tf.bitwise.left_shift(1, bits)
    colours = tf.bitwise.right_shift(values[:, :, :3] * 256, tf.where(fits, bits, _MAX_DEPTH))
    return tf.cast(tf.concat([colours, tf.bitwise.right_shift(values[:, :, 3:], 8)], 2), tf.uint8)


def _has_valid_checksum(file: FileBytes, start: Any, end: Any) -> Any:
    """Returns whether the CRC-32 of the bytes between two positions is the number after them.

    A CRC is linear. So the CRCs of the two halves of a text can be combined, and a text of 2**n
    bytes needs n steps.
    """
    import tensorflow as tf

    tables = tf.constant(_crc_tables())
    offsets = tf.range(4) * 256

    def shift(crcs: Any, level: Any) -> Any:
        """Returns CRCs, uint8 [N, 4], lowest byte first, after 2**level further bytes of 0."""
        rows = tf.gather(tables, level * 4 * 256 + offsets + tf.cast(crcs, tf.int32))
        first, second, third, fourth = tf.unstack(rows, axis=1)
        xor = tf.bitwise.bitwise_xor
        return xor(xor(first, second), xor(third, fourth))

    def combine(level: Any, crcs: Any) -> list[Any]:
        # Bytes of 0 before the text do not change its CRC.
        even = tf.concat([tf.zeros([tf.shape(crcs)[0] % 2, 4], tf.uint8), crcs], 0)
        pairs = tf.reshape(even, [-1, 2, 4])
        crc = tf.bitwise.bitwise_xor(shift(pairs[:, 0], level), pairs[:, 1])
        return [level + 1, crc]

    text = tf.cast(file.number(start + tf.range(end - start), 1), tf.uint8)
    # The CRC starts with ones, which is the same as to invert the first four bytes.
    text = tf.concat([tf.bitwise.invert(text[:4]), text[4:]], 0)[:, tf.newaxis]
    crcs = shift(tf.concat([text, tf.tile(tf.zeros_like(text), [1, 3])], 1), 0)
    _, crcs = loop(
        lambda level, crcs: (tf.shape(crcs)[0] > 1) & (level < _CRC_LEVELS),
        combine,
        [file.constant(0), crcs],
    )
    stored = file.number(end + tf.range(3, -1, -1), 1)
    return tf.reduce_all(tf.equal(tf.cast(tf.bitwise.invert(crcs[0]), tf.int32), stored))


def _crc_tables() -> np.ndarray:
    """Returns the CRC-32 after 2**level bytes of 0 for each value of each of its bytes.

    Returns:
        uint8 [levels * 4 * 256, 4], the bytes of the CRCs, lowest first.
    """

    def advance(crcs: np.ndarray, table: np.ndarray) -> np.ndarray:
        return np.bitwise_xor.reduce([table[i][(crcs >> (8 * i)) & 0xFF] for i in range(4)])

    values = np.arange(256, dtype=np.uint32) << np.arange(0, 32, 8, dtype=np.uint32)[:, np.newaxis]
    table: np.ndarray = values.copy()
    for _ in range(8):
        table = (table >> 1) ^ np.where(table & 1, np.uint32(_CRC_POLYNOMIAL), np.uint32(0))
    tables = [table]
    while len(tables) < _CRC_LEVELS:
        tables.append(advance(tables[-1], tables[-1]))
    return np.array(tables, "<u4").reshape(-1, 1).view(np.uint8)
