"""Builds small frozen graphs like those of 2015 to 2018, with random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from retrain.metadata import GRAPH_NODE
from retrain.runtimes.graph_def import parse_graph

SIDE = 32
WIDTH = 24


def inception(side: int = SIDE, width: int = WIDTH, seed: int = 0) -> Any:
    """Returns a graph with the operations and names of `classify_image_graph_def.pb`.

    Its nodes lead from `DecodeJpeg/contents` through `Mul`, which takes one image at a time, to
    `pool_3/_reshape`, float32 [1, width], and `softmax`.
    """
    import tensorflow as tf

    v1 = tf.compat.v1
    rng = np.random.default_rng(seed)

    def constant(name: str, *shape: int) -> Any:
        fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 1
        return tf.constant(rng.normal(0, fan_in**-0.5, shape).astype(np.float32), name=name)

    with tf.Graph().as_default() as graph:
        contents = v1.placeholder(tf.string, (), "DecodeJpeg/contents")
        decoded = tf.raw_ops.DecodeJpeg(contents=contents, channels=3, name="DecodeJpeg")
        images = tf.expand_dims(tf.cast(decoded, tf.float32, name="Cast"), 0, "ExpandDims")
        resized = v1.image.resize_bilinear(images, [side, side], name="ResizeBilinear")
        centred = tf.subtract(resized, 128.0, name="Sub")
        pixels = tf.multiply(centred, 1 / 128, name="Mul")
        with tf.name_scope("conv"):
            weights = tf.raw_ops.CheckNumerics(
                tensor=constant("conv2d_params", 3, 3, 3, 16),
                message="weights",
                name="CheckNumerics",
            )
            convolved = tf.nn.conv2d(pixels, weights, 2, "VALID", name="Conv2D")
        # TensorFlow no longer makes the batch normalisation of 2015, so it is inserted below.
        normalised = tf.identity(convolved, name="conv/batchnorm")
        statistics = [
            tf.constant(rng.uniform(0.5, 1.5, 16).astype(np.float32), name=f"conv/batchnorm/{part}")
            for part in ("moving_mean", "moving_variance", "beta", "gamma")
        ]
        active = tf.nn.relu(normalised, name="conv")
        branches = [
            tf.nn.conv2d(active, constant(f"mixed/{i}_params", 1, 1, 16, width // 2), 1, "SAME")
            for i in range(2)
        ]
        mixed = tf.concat(branches, 3, name="mixed/join")
        pooled = tf.nn.avg_pool2d(mixed, (side - 1) // 2, 1, "VALID", name="pool_3")
        vector = tf.reshape(pooled, [1, width], name="pool_3/_reshape")
        logits = tf.matmul(
            vector, constant("softmax/weights", width, 8), name="softmax/logits/MatMul"
        )
        tf.nn.softmax(logits, name="softmax")
    result = graph.as_graph_def()
    for node in result.node:
        if node.name == "conv/batchnorm":
            node.op = "BatchNormWithGlobalNormalization"
            node.input.extend(tensor.op.name for tensor in statistics)
            node.attr["variance_epsilon"].f = 0.001
            node.attr["scale_after_normalization"].b = False
        elif node.name == "mixed/join":
            *values, axis = node.input
            node.op = "Concat"
            del node.attr["Tidx"]
            del node.input[:]
            node.input.extend([axis, *values])
    result.versions.producer = 8
    result.versions.ClearField("min_consumer")
    return result


def retrained(backbone: Any, *, classes: int = 3) -> Any:
    """Returns a graph with a last layer like the one that the original retrain.py appended."""
    import tensorflow as tf

    v1 = tf.compat.v1
    rng = np.random.default_rng(1)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(backbone, name="")
        bottleneck = graph.get_tensor_by_name("pool_3/_reshape:0")
        width = bottleneck.shape[1]
        with tf.name_scope("input"):
            fed = v1.placeholder_with_default(
                bottleneck, (None, width), "BottleneckInputPlaceholder"
            )
        with tf.name_scope("final_training_ops"):
            with tf.name_scope("weights"):
                weights = tf.constant(
                    rng.normal(0, 0.1, (width, classes)).astype(np.float32), name="final_weights"
                )
            with tf.name_scope("Wx_plus_b"):
                logits = tf.matmul(fed, weights)
        tf.nn.softmax(logits, name="final_result")
    return graph.as_graph_def()


def mobilenet(side: int = SIDE) -> Any:
    """Returns a graph with the names and the input of a MobileNet of version 1."""
    import tensorflow as tf

    v1 = tf.compat.v1
    rng = np.random.default_rng(2)
    kernel = rng.normal(0, 0.2, (3, 3, 3, WIDTH)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        pixels = v1.placeholder(tf.float32, (1, side, side, 3), "input")
        convolved = tf.nn.relu6(tf.nn.conv2d(pixels, kernel, 2, "SAME", name="MobilenetV1/Conv2d"))
        pooled = tf.nn.avg_pool2d(convolved, side // 2, 1, "VALID", name="MobilenetV1/AvgPool")
        tf.reshape(pooled, [1, WIDTH], name="MobilenetV1/Predictions/Reshape")
    return graph.as_graph_def()


def add_text(graph: Any, name: str, text: str) -> None:
    """Adds a string constant to a graph."""
    import tensorflow as tf

    node = graph.node.add(op="Const", name=name)
    node.attr["dtype"].type = tf.string.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(text))


def without_familiarity(path: Path, graph: Path) -> Path:
    """Writes a frozen graph to `path` as earlier versions did, without familiarity."""
    changed = parse_graph(graph.read_bytes())
    (node,) = (node for node in changed.node if node.name == GRAPH_NODE)
    text = node.attr["value"].tensor.string_val
    fields = json.loads(text[0])
    del fields["familiarity"]
    text[0] = json.dumps(fields).encode()
    return write(path, changed)


def write(path: Path, graph: Any) -> Path:
    """Writes a graph to a file and returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(graph.SerializeToString())
    return path
