"""Trains with the algorithm of TensorFlow's `examples/image_retraining`, for comparison.

A session computes the bottleneck of one image at a time and writes it to a text file. Each of 4,000
training steps reads its batch from these files. With --distort, there are no files for training
images: each step decodes, distorts and runs 100 images. The backbone is that of retrain, so the two
programs differ only in the algorithm.
"""

import random
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from retrain.backbones import efficientnet_lite0
from retrain.backbones.backbone import Backbone
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line

_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with a sub-folder of images for each class.", required=True
)
_BOTTLENECK_DIR = flags.DEFINE_string(
    "bottleneck_dir", None, "Folder for the text files.", required=True
)
_STEPS = flags.DEFINE_integer("how_many_training_steps", 4000, "Number of training steps.")
_DISTORT = flags.DEFINE_boolean(
    "distort", False, "Whether to crop, scale, brighten and flip training images at random."
)

_BATCH_SIZE = 100
_EVAL_STEP_INTERVAL = 10
_DISTORTION_PERCENT = 10

_Features = Sequence[float] | np.ndarray


class _Head(NamedTuple):
    """Tensors and operations of the last layer."""

    features: Any
    class_ids: Any
    train_step: Any
    accuracy: Any


class _Split(NamedTuple):
    """The images of one split, as a list of files for each class."""

    files: list[list[Path]]

    def sample(self, features_of: Callable[[Path], _Features]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the features and classes of a random batch."""
        class_ids = [random.randrange(len(self.files)) for _ in range(_BATCH_SIZE)]
        features = [features_of(random.choice(self.files[class_id])) for class_id in class_ids]
        return np.array(features, np.float32), np.array(class_ids)


def main(_: list[str]) -> None:
    """Trains, and prints the test accuracy and the seconds per step."""
    import tensorflow as tf

    v1 = tf.compat.v1
    v1.disable_eager_execution()
    folders = sorted(path for path in user_path(_IMAGE_DIR.value).iterdir() if path.is_dir())
    backbone = efficientnet_lite0.load()
    bottleneck, contents, pixels = tf.import_graph_def(
        v1.GraphDef.FromString(backbone.graph_file.read_bytes()),
        return_elements=["bottleneck:0", "DecodeJpeg/contents:0", "input:0"],
        name="",
    )
    head = _head(v1, bottleneck, len(folders))
    jpeg, distorted_pixels = _distortions(v1, backbone)
    cache = user_path(_BOTTLENECK_DIR.value)
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())

        def cached(image: Path) -> list[float]:
            path = cache / image.parent.name / f"{image.name}.txt"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                (features,) = session.run(bottleneck, {contents: image.read_bytes()})
                path.write_text(",".join(str(value) for value in features))
            return [float(value) for value in path.read_text().split(",")]

        def distorted(image: Path) -> np.ndarray:
            distorted_image = session.run(distorted_pixels, {jpeg: image.read_bytes()})
            return session.run(bottleneck, {pixels: distorted_image})[0]

        training, validation, test = _split(folders)
        if not _DISTORT.value:
            for folder in folders:
                for image in _images(folder):
                    cached(image)
        start = time.monotonic()
        for step in range(_STEPS.value):
            batch = training.sample(distorted if _DISTORT.value else cached)
            session.run(head.train_step, _feed(head, batch))
            if step % _EVAL_STEP_INTERVAL == 0 or step + 1 == _STEPS.value:
                session.run(head.accuracy, _feed(head, batch))
                session.run(head.accuracy, _feed(head, validation.sample(cached)))
        seconds = time.monotonic() - start
        accuracy = session.run(head.accuracy, _feed(head, test.sample(cached)))
    print(f"Final test accuracy = {100 * accuracy:.1f}%")
    print(f"{_STEPS.value} steps of {seconds / _STEPS.value:.5f} s")


def _split(folders: list[Path]) -> tuple[_Split, _Split, _Split]:
    """Returns the training, validation and test images; a tenth each for the latter two."""
    files = [_images(folder) for folder in folders]
    training = [[f for i, f in enumerate(of_class) if i % 10 > 1] for of_class in files]
    return (
        _Split(training),
        _Split([of_class[0::10] for of_class in files]),
        _Split([of_class[1::10] for of_class in files]),
    )


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if re.search(r"(?i)\.jpe?g$", path.name))


def _feed(head: _Head, batch: tuple[np.ndarray, np.ndarray]) -> dict[Any, np.ndarray]:
    return dict(zip((head.features, head.class_ids), batch, strict=True))


def _head(v1: Any, bottleneck: Any, class_count: int) -> _Head:
    import tensorflow as tf

    width = bottleneck.shape[1]
    features = v1.placeholder(tf.float32, [None, width])
    class_ids = v1.placeholder(tf.int64, [None])
    weights = v1.Variable(tf.random.truncated_normal([width, class_count], stddev=0.001))
    biases = v1.Variable(tf.zeros([class_count]))
    logits = tf.matmul(features, weights) + biases
    loss = v1.losses.sparse_softmax_cross_entropy(class_ids, logits)
    train_step = v1.train.GradientDescentOptimizer(0.01).minimize(loss)
    is_correct = tf.equal(tf.argmax(logits, 1), class_ids)
    return _Head(features, class_ids, train_step, tf.reduce_mean(tf.cast(is_correct, tf.float32)))


def _distortions(v1: Any, backbone: Backbone) -> tuple[Any, Any]:
    """Returns a placeholder for the bytes of a JPEG file, and its distorted, normalised pixels."""
    import tensorflow as tf

    height, width = backbone.height, backbone.width
    jpeg = v1.placeholder(tf.string)
    decoded = tf.cast(tf.image.decode_jpeg(jpeg, channels=3), tf.float32)[tf.newaxis]
    margin = 1 + _DISTORTION_PERCENT / 100
    scale = margin * tf.random.uniform([], 1, 1 + _DISTORTION_PERCENT / 100)
    size = tf.cast(tf.stack([scale * height, scale * width]), tf.int32)
    enlarged = v1.image.resize_bilinear(decoded, size)[0]
    cropped = tf.image.random_crop(enlarged, [height, width, 3])
    flipped = tf.image.random_flip_left_right(cropped)
    brightness = tf.random.uniform([], 1 - _DISTORTION_PERCENT / 100, 1 + _DISTORTION_PERCENT / 100)
    mean, std = tf.constant(backbone.mean), tf.constant(backbone.std)
    return jpeg, ((flipped * brightness - mean) / std)[tf.newaxis]


if __name__ == "__main__":
    command_line.run(main, __doc__)
