"""Decodes and resizes images inside a graph, with the same result as `retrain.data.pixels`.

It uses only operations of TensorFlow 1, and Switch and Merge instead of functions, so that old
versions of TensorFlow can load the graph.
"""

from collections.abc import Callable
from typing import Any

# The Exif block of a JPEG file is in one of the first segments, which have at most 64 KiB each.
_HEAD_BYTES = 1 << 18
_MAX_EXIF_TAGS = 512
_ORIENTATION_TAG = 0x0112

# Steps that turn an image upright, by Exif orientation, 0 to 8: transpose, then flip.
_TRANSPOSED = [False, False, False, False, False, True, True, True, True]
_FLIPPED_VERTICALLY = [False, False, False, True, True, False, False, True, True]
_FLIPPED_HORIZONTALLY = [False, False, True, True, False, False, True, True, False]


def decode(contents: Any, height: int, width: int) -> Any:
    """Decodes an image file to an upright RGB image.

    Args:
        contents: Content of a JPEG, PNG, BMP or GIF file, as a string scalar tensor. Only the first
            frame of a GIF file is decoded.
        height: Height in pixels that the image will be resized to.
        width: Width in pixels that the image will be resized to.

    Returns:
        A uint8 tensor [h, w, 3]. JPEG images are scaled down by 2, 4 or 8 while they are decoded,
        if they stay at least as large as the final size. Other images have their original size.
    """
    import tensorflow as tf

    orientation = _exif_orientation(contents)
    transposed = tf.gather(_TRANSPOSED, orientation)
    stored_size = tf.where(transposed, [width, height], [height, width])
    decoded = _switch(
        _starts_with(contents, b"\xff\xd8"),
        contents,
        lambda jpeg: _decode_scaled_jpeg(jpeg, stored_size),
        _decode_other,
    )
    pixels = tf.transpose(decoded, tf.where(transposed, [1, 0, 2], [0, 1, 2]))
    flips = [
        tf.gather(_FLIPPED_VERTICALLY, orientation),
        tf.gather(_FLIPPED_HORIZONTALLY, orientation),
        False,
    ]
    return tf.raw_ops.Reverse(tensor=pixels, dims=tf.stack(flips))


def resize(pixels: Any, height: int, width: int) -> Any:
    """Resizes an image like Pillow's bilinear filter, which rounds between its two passes.

    Args:
        pixels: Image as a uint8 tensor [h, w, 3].
        height: Height of the result in pixels.
        width: Width of the result in pixels.

    Returns:
        A float32 tensor [1, height, width, 3] of whole numbers, 0 to 255.
    """
    import tensorflow as tf

    shape = tf.shape(pixels)
    rows = _resize_pass(tf.cast(pixels[tf.newaxis], tf.float32), [shape[0], width], shape)
    return _resize_pass(rows, [height, width], [shape[0], width])


def _resize_pass(pixels: Any, size: Any, shape: Any) -> Any:
    import tensorflow as tf

    resized = tf.raw_ops.ScaleAndTranslate(
        images=pixels,
        size=tf.stack(size),
        scale=tf.stack(
            [tf.cast(size[i], tf.float32) / tf.cast(shape[i], tf.float32) for i in (0, 1)]
        ),
        translation=[0.0, 0.0],
        kernel_type="triangle",
        antialias=True,
    )
    # Pillow rounds half up; `tf.round` would round half to even.
    return tf.clip_by_value(tf.floor(resized + 0.5), 0.0, 255.0)


def _switch(
    condition: Any, value: Any, then: Callable[[Any], Any], otherwise: Callable[[Any], Any]
) -> Any:
    """Returns the result of one of two branches, which are functions of `value`."""
    import tensorflow as tf

    branches = tf.raw_ops.Switch(data=value, pred=condition)
    results = [otherwise(branches.output_false), then(branches.output_true)]
    return tf.raw_ops.Merge(inputs=results).output


def _starts_with(contents: Any, magic: bytes) -> Any:
    import tensorflow as tf

    return tf.equal(tf.strings.substr(contents, 0, len(magic)), magic)


def _decode_scaled_jpeg(contents: Any, size: Any) -> Any:
    """Decodes a JPEG file at the scale that Pillow's `Image.draft` chooses for a size."""
    import tensorflow as tf

    def at_scale(ratio: int) -> Callable[[Any], Any]:
        return lambda jpeg: tf.raw_ops.DecodeJpeg(
            contents=jpeg, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE"
        )

    largest_ratio = tf.reduce_min(tf.image.extract_jpeg_shape(contents)[:2] // size)

    def at_scale_if_large(ratio: int, otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda jpeg: _switch(largest_ratio >= ratio, jpeg, at_scale(ratio), otherwise)

    decode_jpeg = at_scale(1)
    for ratio in (2, 4, 8):
        decode_jpeg = at_scale_if_large(ratio, decode_jpeg)
    return decode_jpeg(contents)


def _decode_other(contents: Any) -> Any:
    import tensorflow as tf

    return _switch(
        _starts_with(contents, b"BM"),
        contents,
        _decode_bmp,
        lambda other: _switch(
            _starts_with(other, b"GIF8"),
            other,
            lambda gif: tf.raw_ops.DecodeGif(contents=gif)[0],
            lambda png: tf.raw_ops.DecodePng(contents=png, channels=3),
        ),
    )


def _decode_bmp(contents: Any) -> Any:
    import tensorflow as tf

    # There are one (grey), three (colour) or four channels (colour and alpha).
    pixels = tf.raw_ops.DecodeBmp(contents=contents)
    grey = tf.shape(pixels)[2] < 3
    return tf.tile(pixels, tf.where(grey, [1, 1, 3], [1, 1, 1]))[:, :, :3]


def _exif_orientation(contents: Any) -> Any:
    """Returns the Exif orientation, an int32 scalar from 1 to 8, or 1 if the file has none.

    The Exif block (CIPA DC-008, 4.5) is a TIFF file: a header that states the byte order, and a
    table of tags of 12 bytes each.
    """
    import tensorflow as tf

    head = tf.io.decode_raw(tf.strings.substr(contents, 0, _HEAD_BYTES), tf.uint8)
    # Positions beyond the end, which damaged blocks contain, are read as these zeros.
    head = tf.concat([head, tf.zeros(16, tf.uint8)], 0)
    last = tf.size(head) - 1

    def byte(position: Any) -> Any:
        return tf.cast(tf.gather(head, tf.clip_by_value(position, 0, last)), tf.int32)

    tiff = _find_tiff_header(head)
    little = tf.equal(byte(tiff), ord("I"))

    def uint16(position: Any) -> Any:
        first, second = byte(position), byte(position + 1)
        return tf.where(little, first + 256 * second, 256 * first + second)

    table = tiff + uint16(tiff + tf.where(little, 4, 6))
    tags = table + 2 + 12 * tf.range(tf.minimum(uint16(table), _MAX_EXIF_TAGS))
    matches = tf.boolean_mask(tags, tf.equal(uint16(tags), _ORIENTATION_TAG))
    # Most files have no such tag. Then the byte at position `last`, which is 0, is read.
    value = uint16(tf.concat([matches, [last - 8]], 0)[0] + 8)
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _find_tiff_header(head: Any) -> Any:
    """Returns the position of the TIFF header in the Exif block, or of the last byte if none."""
    import tensorflow as tf

    length = tf.size(head) - 10

    def matches(text: bytes, offset: int = 0) -> Any:
        parts = [
            tf.equal(head[offset + i : offset + i + length], tf.constant(value, tf.uint8))
            for i, value in enumerate(text)
        ]
        return tf.reduce_all(tf.stack(parts), 0)

    def positions_after(marker: bytes) -> Any:
        is_tiff = matches(b"II*\0", len(marker)) | matches(b"MM\0*", len(marker))
        return tf.where(matches(marker) & is_tiff)[:, 0] + len(marker)

    # The markers are those of JPEG and PNG files.
    positions = tf.concat([positions_after(b"Exif\0\0"), positions_after(b"eXIf")], 0)
    last = tf.cast(tf.size(head)[tf.newaxis] - 1, tf.int64)
    return tf.cast(tf.concat([positions, last], 0)[0], tf.int32)
