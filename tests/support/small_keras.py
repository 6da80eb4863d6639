"""Builds a small Keras classifier, and writes it in formats that other programs use."""

import json
from pathlib import Path
from typing import Any

import numpy as np

LABELS = ("red", "green", "blue")
SIDE = 16


def build_model(channels: int = 3, *, activation: str | None = "softmax") -> Any:
    """Returns a Keras model with the same weights each time.

    Its input is float32 [N, SIDE, SIDE, channels], its output float32 [N, 3].

    Args:
        channels: Number of channels of the input images.
        activation: Activation of the output layer; None for logits.
    """
    from tensorflow import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, channels)),
            keras.layers.Conv2D(4, 3, activation="relu", name="conv2d_1"),
            keras.layers.MaxPooling2D(name="max_pooling2d_1"),
            keras.layers.Flatten(name="flatten_1"),
            keras.layers.Dense(3, activation=activation, name="dense_1"),
        ]
    )
    conv, dense = model.layers[0], model.layers[-1]
    conv.set_weights([conv.get_weights()[0], np.array([0.1, -0.1, 0.2, 0], np.float32)])
    dense.set_weights([4 * dense.get_weights()[0], np.array([0.5, 0, -0.5], np.float32)])
    return model


def write_frozen_graph(
    path: Path, model: Any, *, start: str = "input", end: str = "final_result"
) -> Path:
    """Writes the model as a frozen graph.

    Args:
        path: File to write.
        model: Model from `build_model`.
        start: Name of the input node.
        end: Name of the output node.
    """
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    shape = (None, *model.input_shape[1:])
    frozen = convert_to_constants.convert_variables_to_constants_v2(
        tf.function(lambda image: model(image, training=False)).get_concrete_function(
            tf.TensorSpec(shape, tf.float32, "image")
        )
    )
    with tf.Graph().as_default() as graph:
        placeholder = tf.compat.v1.placeholder(tf.float32, shape, start)
        (result,) = tf.import_graph_def(
            frozen.graph.as_graph_def(),
            {frozen.inputs[0].name: placeholder},
            [frozen.outputs[0].name],
            name="network",
        )
        output = tf.identity(result, end).op.name
    # Removes the input that the placeholder replaces.
    subgraph = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), [output])
    path.write_bytes(subgraph.SerializeToString())
    return path


def write_keras_2(folder: Path, model: Any) -> tuple[Path, Path]:
    """Writes `model.json` and `weights.h5` like Keras 2.0.8, and returns the two paths."""
    import h5py

    layers: list[dict[str, Any]] = []
    for layer in model.layers:
        config = {
            key: value
            for key, value in layer.get_config().items()
            if key not in ("dtype", "quantization_config", "groups", "build_config")
            and not isinstance(value, dict)
        }
        layers.append({"class_name": type(layer).__name__, "config": config})
    layers[0]["config"]["batch_input_shape"] = [None, *model.input_shape[1:]]
    description = {"class_name": "Sequential", "config": layers, "keras_version": "2.0.8"}
    (folder / "model.json").write_text(json.dumps(description))
    with h5py.File(folder / "weights.h5", "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        file.attrs["keras_version"] = b"2.0.8"
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.weights, strict=True):
                group[name] = weight.numpy()
    return folder / "model.json", folder / "weights.h5"
