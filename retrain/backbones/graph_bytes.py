"""Reads numbers and text from the content of a file, and branches on them, inside a graph.

It uses only operations of TensorFlow 1, and their control flow instead of functions, so that old
versions of TensorFlow can load the graph.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrain.data.image_limits import DEFAULT_LIMITS

# Files of cameras and of programs have far fewer parts before their pixels.
_MAX_ITERATIONS = 1 << 14
_MAX_PIXELS = DEFAULT_LIMITS.pixels


class FileBytes:
    """The bytes of a file. Positions are int32 tensors; bytes beyond the end are read as 0."""

    def __init__(self, contents: Any) -> None:
        """Splits the content of a file into bytes.

        Args:
            contents: Content of the file, a string scalar tensor.
        """
        import tensorflow as tf

        self.values = tf.io.decode_raw(contents, tf.uint8)
        self.size = tf.size(self.values)

    def constant(self, value: int) -> Any:
        """Returns an int32 scalar tensor that is only computed in the branch of these bytes.

        The first value of a variable of a loop must be such a tensor.
        """
        return self.size * 0 + value

    def number(self, position: Any, length: int, *, little: Any = False) -> Any:
        """Returns the numbers at some positions.

        Args:
            position: Positions of the first bytes, an int32 tensor of any shape.
            length: Number of bytes of each number, 1 to 4.
            little: Whether the lowest byte comes first, a bool or a bool scalar tensor.

        Returns:
            An int32 tensor. Numbers of four bytes from 2**31 become negative.
        """
        import tensorflow as tf

        if length == 1:
            return self._bytes(position)
        values = self._bytes(tf.expand_dims(position, -1) + np.arange(length, dtype=np.int32))
        lowest_first = np.array([1, 1 << 8, 1 << 16, 1 << 24][:length], np.int32)
        highest_first = lowest_first[::-1].copy()
        if isinstance(little, bool):
            weights = lowest_first if little else highest_first
        else:
            weights = tf.where(little, lowest_first, highest_first)
        return tf.reduce_sum(values * weights, -1)

    def _bytes(self, positions: Any) -> Any:
        import tensorflow as tf

        exists = (positions >= 0) & (positions < self.size)
        # The index 0 is valid because no branch reads an empty file.
        values = tf.gather(self.values, tf.where(exists, positions, 0))
        return tf.where(exists, tf.cast(values, tf.int32), 0)

    def window(self, position: Any, length: int) -> Any:
        """Returns the values of the bytes from a position on, int32 [length]."""
        return self._bytes(position + np.arange(length, dtype=np.int32))

    def matches(self, position: Any, text: bytes) -> Any:
        """Returns whether a text is at a position, a bool scalar tensor."""
        import tensorflow as tf

        return tf.reduce_all(tf.equal(self.window(position, len(text)), list(text)))


def starts_with(contents: Any, magic: bytes) -> Any:
    """Returns whether a file starts with some bytes, a bool scalar tensor."""
    import tensorflow as tf

    return tf.equal(tf.strings.substr(contents, 0, len(magic)), magic)


def replace(contents: Any, position: Any, value: Any) -> Any:
    """Returns a string scalar tensor in which bytes are replaced by as many others."""
    import tensorflow as tf

    end = position + tf.strings.length(value)
    before = tf.strings.substr(contents, 0, position)
    return tf.strings.join([before, value, tf.strings.substr(contents, end, 2**31 - 1)])


def switch(
    condition: Any, value: Any, then: Callable[[Any], Any], otherwise: Callable[[Any], Any]
) -> Any:
    """Returns the result of one of two branches, which are functions of `value`."""
    import tensorflow as tf

    branches = tf.raw_ops.Switch(data=value, pred=condition)
    results = [otherwise(branches.output_false), then(branches.output_true)]
    return tf.raw_ops.Merge(inputs=results).output


def walk(file: FileBytes, start: int, step: Callable[[Any], Any]) -> Any:
    """Returns the position at which a walk through a file ends.

    Args:
        file: The file.
        start: First position.
        step: Returns the position after another one, or the same one at the end.
    """
    position, _ = loop(
        lambda position, last: (position > last) & (position < file.size),
        lambda position, _: [step(position), position],
        [file.constant(start), file.constant(-1)],
    )
    return position


def loop(
    condition: Callable[..., Any], body: Callable[..., Sequence[Any]], values: Sequence[Any]
) -> list[Any]:
    """Returns the values of the variables of a loop after it has ended.

    It ends after _MAX_ITERATIONS at the latest, so that no file keeps it busy for long.

    Args:
        condition: Returns whether the loop continues, from the values of the variables.
        body: Returns the next values, from the values of the variables.
        values: First values. The first one is an int32 scalar. The first dimension of others can
            change in the loop.
    """
    import tensorflow as tf

    variables = [values[0] * 0, *values]
    shapes = [
        tf.TensorShape([None, *value.shape[1:]] if value.shape.rank else []) for value in variables
    ]
    v1 = tf.compat.v1
    with_functions = v1.control_flow_v2_enabled()
    v1.disable_control_flow_v2()
    try:
        _, *results = v1.while_loop(
            lambda count, *values: (count < _MAX_ITERATIONS) & condition(*values),
            lambda count, *values: [count + 1, *body(*values)],
            variables,
            shape_invariants=shapes,
            back_prop=False,
        )
        return results
    finally:
        if with_functions:
            v1.enable_control_flow_v2()


def require_size(width: Any, height: Any, value: Any) -> Any:
    """Returns `value`, or ends the run if an image has more pixels than `DEFAULT_LIMITS`."""
    import tensorflow as tf

    count = tf.cast(width, tf.float32) * tf.cast(height, tf.float32)
    message = f"The image has more than the maximum of {_MAX_PIXELS:,} pixels"
    return require((width > 0) & (height > 0) & (count <= _MAX_PIXELS), message, value)


def require(condition: Any, message: str, value: Any) -> Any:
    """Returns `value`, or ends the run with a message if a condition is false."""
    import tensorflow as tf

    # The check must depend on the value, so that it is not made if the branch is not taken.
    condition &= tf.size(value) >= 0
    check = tf.raw_ops.Assert(condition=condition, data=[message])
    with tf.control_dependencies([check]):
        return tf.identity(value)
