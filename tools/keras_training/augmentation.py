"""Shifts, rotates, scales, brightens and mirrors batches of images at random.

The random operations are stateless: the same seed produces the same images at any time, also
after an interrupted training.
"""

import math
from typing import Any

from tools.keras_training.options import Augmentation


def augment(images: Any, seed: Any, options: Augmentation) -> Any:
    """Returns a random variant of each image, float32 [N, height, width, channels], 0 to 255.

    Areas beyond the border of an image repeat the nearest pixels.

    Args:
        images: Tensor uint8 or float32 [N, height, width, channels], 0 to 255.
        seed: Tensor int [2].
        options: Strength of each change.
    """
    import tensorflow as tf

    images = tf.cast(images, tf.float32)
    # Each row is uniform in -1 to 1: shift right, shift down, rotation, scale, brightness, mirror.
    draws = tf.unstack(tf.random.stateless_uniform((6, tf.shape(images)[0]), seed, -1, 1), axis=0)
    if options != Augmentation(random_brightness=options.random_brightness):
        images = _transform(images, draws, options)
    if options.random_brightness:
        factor = 1 + draws[4] * options.random_brightness / 100
        images = tf.clip_by_value(images * factor[:, None, None, None], 0, 255)
    return images


def _transform(images: Any, draws: list[Any], options: Augmentation) -> Any:
    import tensorflow as tf

    height, width = images.shape[1:3]
    right = draws[0] * options.random_shift / 100 * width
    down = draws[1] * options.random_shift / 100 * height
    angle = draws[2] * math.radians(options.random_rotation)
    # Twice the size is as likely as half the size.
    scale = tf.exp(draws[3] * math.log1p(options.random_scale / 100))
    mirror = tf.where(draws[5] < 0, -1.0, 1.0) if options.flip_left_right else tf.ones_like(angle)
    # The transform maps output pixels to input pixels, around the centre of the image:
    # https://www.tensorflow.org/api_docs/python/tf/raw_ops/ImageProjectiveTransformV3
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    x_from_x, x_from_y = mirror * cosine, -sine
    y_from_x, y_from_y = mirror * sine, cosine
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    offset_x = centre_x + right - x_from_x * centre_x - x_from_y * centre_y
    offset_y = centre_y + down - y_from_x * centre_x - y_from_y * centre_y
    zero = tf.zeros_like(angle)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(
            [x_from_x, x_from_y, offset_x, y_from_x, y_from_y, offset_y, zero, zero], axis=1
        ),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
