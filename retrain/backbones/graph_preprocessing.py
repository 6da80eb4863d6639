"""Decodes and resizes images inside a graph, with the same result as `retrain.data.pixels`.

It uses only operations of TensorFlow 1, and Switch and Merge instead of functions, so that old
versions of TensorFlow can load the graph.
"""

from collections.abc import Callable
from typing import Any

from retrain.backbones import graph_bmp, graph_exif, graph_gif, graph_png
from retrain.backbones.graph_bytes import require_size, starts_with, switch
from retrain.metadata import CROP, PAD

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

    orientation = graph_exif.find_orientation(contents)
    transposed = tf.gather(_TRANSPOSED, orientation)
    stored_size = tf.where(transposed, [width, height], [height, width])
    decoded = switch(
        starts_with(contents, b"\xff\xd8"),
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


def resize(pixels: Any, height: int, width: int, *, fit: str) -> Any:
    """Resizes an image, as `retrain.data.fitting.resize_to_fit` does.

    Args:
        pixels: Image as a uint8 tensor [h, w, 3].
        height: Height of the result in pixels.
        width: Width of the result in pixels.
        fit: Handling of another aspect ratio, one of `retrain.metadata.FITS`.

    Returns:
        A float32 tensor [1, height, width, 3] of whole numbers, 0 to 255.
    """
    import tensorflow as tf

    size = tf.constant([height, width])
    if fit == CROP:
        first, kept = _cropped_area(tf.shape(pixels)[:2], size)
        pixels = tf.slice(pixels, tf.concat([first, [0]], 0), tf.concat([kept, [3]], 0))
    if fit != PAD:
        return _resize(pixels, size)
    first, covered = _padded_area(tf.shape(pixels)[:2], size)
    after = size - first - covered
    margins = tf.concat([[[0, 0]], tf.stack([first, after], 1), [[0, 0]]], 0)
    padded = tf.pad(_resize(pixels, covered), margins)
    return tf.reshape(padded, [1, height, width, 3])


def _cropped_area(own_size: Any, size: Any) -> tuple[Any, Any]:
    """Returns the first row and column, and the size, of `retrain.data.fit_areas.cropped_area`."""
    import tensorflow as tf

    # All rows or all columns are kept.
    kept = tf.minimum(own_size, _scaled_sides(own_size[::-1], size, size[::-1]))
    return (own_size - kept) // 2, kept


def _padded_area(own_size: Any, size: Any) -> tuple[Any, Any]:
    """Returns the first row and column, and the size, of `retrain.data.fit_areas.padded_area`."""
    import tensorflow as tf

    # The whole height or the whole width is covered.
    covered = tf.minimum(size, _scaled_sides(size[::-1], own_size, own_size[::-1]))
    return (size - covered) // 2, covered


def _scaled_sides(sides: Any, factors: Any, divisors: Any) -> Any:
    """Returns `sides * factors / divisors`, rounded half up and at least 1, int32 [2]."""
    import tensorflow as tf

    numerators = 2 * tf.cast(sides, tf.int64) * tf.cast(factors, tf.int64)
    divisors = tf.cast(divisors, tf.int64)
    return tf.cast(tf.maximum((numerators + divisors) // (2 * divisors), 1), tf.int32)


def _resize(pixels: Any, size: Any) -> Any:
    """Resizes an image like Pillow's bilinear filter, which rounds between its two passes.

    Args:
        pixels: Image as a uint8 tensor [h, w, 3].
        size: Height and width of the result in pixels, int32 [2].

    Returns:
        A float32 tensor [1, height, width, 3] of whole numbers, 0 to 255.
    """
    import tensorflow as tf

    shape = tf.shape(pixels)
    # The image between the two passes is never larger than both the source and the result.
    columns_first = (shape[1] < size[1]) & (shape[0] > size[0])
    between = tf.where(columns_first, [size[0], shape[1]], [shape[0], size[1]])
    first = _resize_pass(pixels[tf.newaxis], between, shape[:2])
    return _resize_pass(first, size, between)


def _resize_pass(pixels: Any, size: Any, old_size: Any) -> Any:
    import tensorflow as tf

    resized = tf.raw_ops.ScaleAndTranslate(
        images=pixels,
        size=size,
        scale=tf.cast(size, tf.float32) / tf.cast(old_size, tf.float32),
        translation=[0.0, 0.0],
        kernel_type="triangle",
        antialias=True,
    )
    # Pillow rounds half up; `tf.round` would round half to even.
    return tf.clip_by_value(tf.floor(resized + 0.5), 0.0, 255.0)


def _decode_scaled_jpeg(contents: Any, size: Any) -> Any:
    """Decodes a JPEG file at the scale that Pillow's `Image.draft` chooses for a size."""
    import tensorflow as tf

    def at_scale(ratio: int) -> Callable[[Any], Any]:
        return lambda jpeg: tf.raw_ops.DecodeJpeg(
            contents=jpeg, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE"
        )

    stored_size = tf.image.extract_jpeg_shape(contents)[:2]
    contents = require_size(stored_size[1], stored_size[0], contents)
    largest_ratio = tf.reduce_min(stored_size // size)

    def at_scale_if_large(ratio: int, otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda jpeg: switch(largest_ratio >= ratio, jpeg, at_scale(ratio), otherwise)

    decode_jpeg = at_scale(1)
    for ratio in (2, 4, 8):
        decode_jpeg = at_scale_if_large(ratio, decode_jpeg)
    return decode_jpeg(contents)


def _decode_other(contents: Any) -> Any:
    return switch(
        starts_with(contents, b"BM"),
        contents,
        graph_bmp.decode,
        lambda other: switch(
            starts_with(other, b"GIF8"), other, graph_gif.decode, graph_png.decode
        ),
    )
