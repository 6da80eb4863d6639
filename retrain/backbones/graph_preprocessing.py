"""`retrain.data.pixels.decode` in TensorFlow's operations, so that a graph can be fed with files.

Only operations that TensorFlow 1 had are used, with its Switch and Merge in place of functions, so
that scripts of any age can load the graph.
"""

from collections.abc import Callable
from typing import Any

# JPEG files keep their Exif block in the first segments, each of at most 64 KiB.
_HEAD_BYTES = 1 << 18
_MAX_EXIF_TAGS = 512
_ORIENTATION_TAG = 0x0112

# By orientation, 0 to 8: what brings the image upright, after its axes were swapped where needed.
_SWAPPED = [False, False, False, False, False, True, True, True, True]
_TOP_TO_BOTTOM = [False, False, False, True, True, False, False, True, True]
_LEFT_TO_RIGHT = [False, False, True, True, False, False, True, True, False]


def decode(contents: Any, height: int, width: int) -> Any:
    """Returns the image in `contents`, upright and in colour.

    Args:
        contents: string scalar tensor, the bytes of a JPEG, PNG, BMP or GIF file (its first frame).
        height: that the image will be resized to.
        width: that the image will be resized to.

    Returns:
        uint8 [h, w, 3] tensor, RGB. JPEG files are scaled down by 2, 4 or 8 where that leaves them
        no smaller than asked for, all others have their own size.
    """
    import tensorflow as tf

    orientation = _exif_orientation(contents)
    swapped = tf.gather(_SWAPPED, orientation)
    wanted = tf.where(swapped, [width, height], [height, width])
    decoded = _switch(
        _starts_with(contents, b"\xff\xd8"),
        contents,
        lambda jpeg: _decode_scaled_jpeg(jpeg, wanted),
        _decode_other,
    )
    upright = tf.transpose(decoded, tf.where(swapped, [1, 0, 2], [0, 1, 2]))
    flips = [tf.gather(_TOP_TO_BOTTOM, orientation), tf.gather(_LEFT_TO_RIGHT, orientation), False]
    return tf.raw_ops.Reverse(tensor=upright, dims=tf.stack(flips))


def resize(pixels: Any, height: int, width: int) -> Any:
    """Resizes as Pillow's bilinear filter does, with its rounding between the two passes.

    Args:
        pixels: uint8 [h, w, 3] tensor.
        height: of the result, in pixels.
        width: of the result, in pixels.

    Returns:
        float32 [1, height, width, 3] tensor of whole numbers, 0 to 255.
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
    """Runs one of two branches, each a function of `value`, and returns its result."""
    import tensorflow as tf

    branches = tf.raw_ops.Switch(data=value, pred=condition)
    results = [otherwise(branches.output_false), then(branches.output_true)]
    return tf.raw_ops.Merge(inputs=results).output


def _starts_with(contents: Any, magic: bytes) -> Any:
    import tensorflow as tf

    return tf.equal(tf.strings.substr(contents, 0, len(magic)), magic)


def _decode_scaled_jpeg(contents: Any, wanted: Any) -> Any:
    """Decodes at the scale that `Image.draft` of Pillow chooses."""
    import tensorflow as tf

    def at_scale(ratio: int) -> Callable[[Any], Any]:
        return lambda jpeg: tf.raw_ops.DecodeJpeg(
            contents=jpeg, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE"
        )

    times = tf.reduce_min(tf.image.extract_jpeg_shape(contents)[:2] // wanted)
    decode_jpeg = at_scale(1)
    for ratio in (2, 4, 8):
        decode_jpeg = _when_large(times, ratio, at_scale(ratio), decode_jpeg)
    return decode_jpeg(contents)


def _when_large(
    times: Any, ratio: int, then: Callable[[Any], Any], otherwise: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    return lambda jpeg: _switch(times >= ratio, jpeg, then, otherwise)


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

    # One channel of grey, three of colour, or four with alpha.
    pixels = tf.raw_ops.DecodeBmp(contents=contents)
    grey = tf.shape(pixels)[2] < 3
    return tf.tile(pixels, tf.where(grey, [1, 1, 3], [1, 1, 1]))[:, :, :3]


def _exif_orientation(contents: Any) -> Any:
    """Returns int32 1 to 8, and 1 where the file does not say.

    The Exif block (CIPA DC-008, 4.5) is a TIFF file: a head that gives the order of bytes, and a
    table of tags of 12 bytes each.
    """
    import tensorflow as tf

    head = tf.io.decode_raw(tf.strings.substr(contents, 0, _HEAD_BYTES), tf.uint8)
    # Whatever a damaged block points at is read as zeros at the end.
    head = tf.concat([head, tf.zeros(16, tf.uint8)], 0)
    last = tf.size(head) - 1

    def byte(position: Any) -> Any:
        return tf.cast(tf.gather(head, tf.clip_by_value(position, 0, last)), tf.int32)

    tiff = _find_tiff_header(head)
    little = tf.equal(byte(tiff), ord("I"))

    def uint16(position: Any) -> Any:
        first, second = byte(position), byte(position + 1)
        return tf.where(little, first + 256 * second, 256 * first + second)

    low = uint16(tiff + tf.where(little, 4, 6))
    table = tiff + low
    tags = table + 2 + 12 * tf.range(tf.minimum(uint16(table), _MAX_EXIF_TAGS))
    found = tf.boolean_mask(tags, tf.equal(uint16(tags), _ORIENTATION_TAG))
    # Most files have no such tag: position `last` reads as 0.
    value = uint16(tf.concat([found, [last - 8]], 0)[0] + 8)
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _find_tiff_header(head: Any) -> Any:
    """Returns where the TIFF head of a JPEG's or PNG's Exif block begins, or the last byte."""
    import tensorflow as tf

    length = tf.size(head) - 10

    def matches(text: bytes, offset: int = 0) -> Any:
        parts = [
            tf.equal(head[offset + i : offset + i + length], tf.constant(value, tf.uint8))
            for i, value in enumerate(text)
        ]
        return tf.reduce_all(tf.stack(parts), 0)

    def after(marker: bytes) -> Any:
        either = matches(b"II*\0", len(marker)) | matches(b"MM\0*", len(marker))
        return tf.where(matches(marker) & either)[:, 0] + len(marker)

    places = tf.concat([after(b"Exif\0\0"), after(b"eXIf")], 0)
    none = tf.cast(tf.size(head)[tf.newaxis] - 1, tf.int64)
    return tf.cast(tf.concat([places, none], 0)[0], tf.int32)
