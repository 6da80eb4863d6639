"""Trains as TensorFlow's `examples/image_retraining` did, to compare with.

One picture at a time goes through a session, its bottleneck into a text file of its own; each of
the 4,000 steps reads its batch back from those files. The backbone is ours, from the graph that
retrain exports, so that only the way of working differs.
"""

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from retrain import command_line
from retrain.backbones import registry
from retrain.runtime import user_path

_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with a sub-folder for each category.", required=True
)
_BOTTLENECK_DIR = flags.DEFINE_string(
    "bottleneck_dir", None, "Folder for the text files.", required=True
)
_STEPS = flags.DEFINE_integer("how_many_training_steps", 4000, "Steps.")


def main(_: list[str]) -> None:
    """Trains, and prints the accuracy on pictures that were held out."""
    import tensorflow as tf

    v1 = tf.compat.v1
    v1.disable_eager_execution()
    folders = sorted(path for path in user_path(_IMAGE_DIR.value).iterdir() if path.is_dir())
    graph_def = v1.GraphDef.FromString(registry.load(registry.DEFAULT).graph_file.read_bytes())
    bottleneck, contents = tf.import_graph_def(
        graph_def, return_elements=["bottleneck:0", "DecodeJpeg/contents:0"], name=""
    )
    train_step, evaluation, features, truth = _head(v1, bottleneck, len(folders))
    cache = user_path(_BOTTLENECK_DIR.value)
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        parts: dict[str, list[list[Path]]] = {"train": [], "validation": [], "test": []}
        for folder in folders:
            files = [_cached(session, bottleneck, contents, p, cache) for p in _pictures(folder)]
            for number, part in enumerate(parts.values()):
                part.append(files[number::10] if number else files[3::10] + files[4::10])
        for step in range(_STEPS.value):
            vectors, categories = _batch(parts["train"], 100)
            session.run(train_step, {features: vectors, truth: categories})
            if step % 10 == 0 or step + 1 == _STEPS.value:
                session.run(evaluation, {features: vectors, truth: categories})
                vectors, categories = _batch(parts["validation"], 100)
                session.run(evaluation, {features: vectors, truth: categories})
        vectors, categories = _batch(parts["test"], 100)
        accuracy = session.run(evaluation, {features: vectors, truth: categories})
    print(f"Final test accuracy = {100 * accuracy:.1f}%")


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


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if re.search(r"(?i)\.jpe?g$", path.name))


def _cached(session: Any, bottleneck: Any, contents: Any, picture: Path, cache: Path) -> Path:
    path = cache / picture.parent.name / f"{picture.name}.txt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        (vector,) = session.run(bottleneck, {contents: picture.read_bytes()})
        path.write_text(",".join(str(value) for value in vector))
    return path


def _batch(files: list[list[Path]], size: int) -> tuple[np.ndarray, np.ndarray]:
    categories = [random.randrange(len(files)) for _ in range(size)]
    texts = [random.choice(files[category]).read_text() for category in categories]
    vectors = [[float(value) for value in text.split(",")] for text in texts]
    return np.array(vectors, np.float32), np.array(categories)


if __name__ == "__main__":
    command_line.run(main, __doc__)
