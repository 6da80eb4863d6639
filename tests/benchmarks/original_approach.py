"""Trains as TensorFlow's `examples/image_retraining` did, to compare with.

One image at a time goes through a session, its bottleneck into a text file of its own; each of
the 4,000 steps reads its batch back from those files. With --distort there are no such files of
training images: each step decodes, distorts and runs a hundred of them. The backbone is ours,
from the graph that retrain exports, so that only the way of working differs.
"""

import random
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from retrain.backbones import registry
from retrain.backbones.backbone import Backbone
from retrain.system import command_line
from retrain.system.files import user_path

_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with a sub-folder for each class.", required=True
)
_BOTTLENECK_DIR = flags.DEFINE_string(
    "bottleneck_dir", None, "Folder for the text files.", required=True
)
_STEPS = flags.DEFINE_integer("how_many_training_steps", 4000, "Steps.")
_DISTORT = flags.DEFINE_boolean(
    "distort", False, "Crop, scale and brighten by 10 percent at random, and flip."
)

_PERCENT = 10


def main(_: list[str]) -> None:
    """Trains, and prints the accuracy on images that were held out, and what steps take."""
    import tensorflow as tf

    v1 = tf.compat.v1
    v1.disable_eager_execution()
    folders = sorted(path for path in user_path(_IMAGE_DIR.value).iterdir() if path.is_dir())
    backbone = registry.load(registry.DEFAULT)
    graph_def = v1.GraphDef.FromString(backbone.graph_file.read_bytes())
    bottleneck, contents, pixels = tf.import_graph_def(
        graph_def,
        return_elements=["bottleneck:0", "DecodeJpeg/contents:0", "input:0"],
        name="",
    )
    train_step, evaluation, features, truth = _head(v1, bottleneck, len(folders))
    data, distorted = _distortions(v1, backbone)
    cache = user_path(_BOTTLENECK_DIR.value)
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())

        def cached(image: Path) -> list[float]:
            path = cache / image.parent.name / f"{image.name}.txt"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                (vector,) = session.run(bottleneck, {contents: image.read_bytes()})
                path.write_text(",".join(str(value) for value in vector))
            return [float(value) for value in path.read_text().split(",")]

        def fresh(image: Path) -> np.ndarray:
            value = session.run(distorted, {data: image.read_bytes()})
            return session.run(bottleneck, {pixels: value})[0]

        parts: dict[str, list[list[Path]]] = {"train": [], "validation": [], "test": []}
        for folder in folders:
            files = _images(folder)
            for number, part in enumerate(parts.values()):
                part.append(files[number::10] if number else files[3::10] + files[4::10])
            if not _DISTORT.value:
                for image in files:
                    cached(image)
        prepared = time.monotonic()
        for step in range(_STEPS.value):
            vectors, class_ids = _batch(parts["train"], 100, fresh if _DISTORT.value else cached)
            session.run(train_step, {features: vectors, truth: class_ids})
            if step % 10 == 0 or step + 1 == _STEPS.value:
                session.run(evaluation, {features: vectors, truth: class_ids})
                vectors, class_ids = _batch(parts["validation"], 100, cached)
                session.run(evaluation, {features: vectors, truth: class_ids})
        trained = time.monotonic()
        vectors, class_ids = _batch(parts["test"], 100, cached)
        accuracy = session.run(evaluation, {features: vectors, truth: class_ids})
    print(f"Final test accuracy = {100 * accuracy:.1f}%")
    print(f"{_STEPS.value} steps of {(trained - prepared) / _STEPS.value:.5f} s")


def _head(v1: Any, bottleneck: Any, class_count: int) -> tuple[Any, Any, Any, Any]:
    import tensorflow as tf

    width = bottleneck.shape[1]
    features = v1.placeholder(tf.float32, [None, width])
    truth = v1.placeholder(tf.int64, [None])
    weights = v1.Variable(tf.random.truncated_normal([width, class_count], stddev=0.001))
    biases = v1.Variable(tf.zeros([class_count]))
    logits = tf.matmul(features, weights) + biases
    loss = v1.losses.sparse_softmax_cross_entropy(truth, logits)
    step = v1.train.GradientDescentOptimizer(0.01).minimize(loss)
    right = tf.equal(tf.argmax(logits, 1), truth)
    return step, tf.reduce_mean(tf.cast(right, tf.float32)), features, truth


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if re.search(r"(?i)\.jpe?g$", path.name))


def _distortions(v1: Any, backbone: Backbone) -> tuple[Any, Any]:
    """Returns a placeholder for a JPEG's bytes, and what the original makes of them."""
    import tensorflow as tf

    height, width = backbone.height, backbone.width
    data = v1.placeholder(tf.string)
    decoded = tf.cast(tf.image.decode_jpeg(data, channels=3), tf.float32)[tf.newaxis]
    margin = 1 + _PERCENT / 100
    scale = margin * tf.random.uniform([], 1, 1 + _PERCENT / 100)
    size = tf.cast(tf.stack([scale * height, scale * width]), tf.int32)
    enlarged = v1.image.resize_bilinear(decoded, size)[0]
    cropped = tf.image.random_crop(enlarged, [height, width, 3])
    flipped = tf.image.random_flip_left_right(cropped)
    brightness = tf.random.uniform([], 1 - _PERCENT / 100, 1 + _PERCENT / 100)
    mean, std = tf.constant(backbone.mean), tf.constant(backbone.std)
    return data, ((flipped * brightness - mean) / std)[tf.newaxis]


def _batch(
    files: list[list[Path]], size: int, features_of: Callable[[Path], Sequence[float] | np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    class_ids = [random.randrange(len(files)) for _ in range(size)]
    vectors = [features_of(random.choice(files[class_id])) for class_id in class_ids]
    return np.array(vectors, np.float32), np.array(class_ids)


if __name__ == "__main__":
    command_line.run(main, __doc__)
