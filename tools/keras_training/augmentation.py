"""Images moved, turned, scaled, brightened and mirrored at random, a batch at a time.

The operations are TensorFlow's, without a state: the same seed gives the same variant at any time,
also after a training was interrupted.
"""

import math
from typing import Any

from tools.keras_training.options import Augmentation


def augment(images: Any, seed: Any, options: Augmentation) -> Any:
    """Returns a variant of each image, float32 [N, height, width, channels], 0 to 255.

    What comes in from beyond the border is a repetition of the pixels there.

    Args:
        images: uint8 or float32 [N, height, width, channels], 0 to 255.
        seed: int [2].
        options: how much to vary.
    """
    import tensorflow as tf

    images = tf.cast(images, tf.float32)
    count = tf.shape(images)[0]
    # From -1 to 1: right, down, turn, size, brightness, mirror.
    drawn = tf.unstack(tf.random.stateless_uniform((6, count), seed, -1, 1), axis=0)
    if options != Augmentation(random_brightness=options.random_brightness):
        images = _transformed(images, drawn, options)
    if options.random_brightness:
        factor = 1 + drawn[4] * options.random_brightness / 100
        images = tf.clip_by_value(images * factor[:, None, None, None], 0, 255)
    return images


def _transformed(images: Any, drawn: list[Any], options: Augmentation) -> Any:
    import tensorflow as tf

    height, width = images.shape[1:3]
    right = drawn[0] * options.random_shift / 100 * width
    down = drawn[1] * options.random_shift / 100 * height
    turn = drawn[2] * math.radians(options.random_rotation)
    # As often twice the size as half of it.
    size = tf.exp(drawn[3] * math.log1p(options.random_scale / 100))
    mirror = tf.where(drawn[5] < 0, -1.0, 1.0) if options.flip_left_right else tf.ones_like(turn)
    # From the place of a pixel in the result to that in the image, around the centre of both:
    # https://www.tensorflow.org/api_docs/python/tf/raw_ops/ImageProjectiveTransformV3
    cosine, sine = tf.cos(turn) / size, tf.sin(turn) / size
    from_x, from_y = mirror * cosine, -sine
    to_x, to_y = mirror * sine, cosine
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    begin_x = centre_x + right - from_x * centre_x - from_y * centre_y
    begin_y = centre_y + down - to_x * centre_x - to_y * centre_y
    nothing = tf.zeros_like(turn)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(
            [from_x, from_y, begin_x, to_x, to_y, begin_y, nothing, nothing], axis=1
        ),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
