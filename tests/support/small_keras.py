"""Small Keras classifiers in files of all ages, as other programs write them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

LABELS = ("red", "green", "blue")
SIDE = 16


def model(channels: int = 3, activation: str | None = "softmax") -> Any:
    """Returns a Keras model of images [N, SIDE, SIDE, channels]; the same every time."""
    from tensorflow import keras

    keras.utils.set_random_seed(0)
    result = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, channels)),
            keras.layers.Conv2D(4, 3, activation="relu", name="conv2d_1"),
            keras.layers.MaxPooling2D(name="max_pooling2d_1"),
            keras.layers.Flatten(name="flatten_1"),
            keras.layers.Dense(3, activation=activation, name="dense_1"),
        ]
    )
    conv, dense = result.layers[0], result.layers[-1]
    conv.set_weights([conv.get_weights()[0], np.array([0.1, -0.1, 0.2, 0], np.float32)])
    dense.set_weights([4 * dense.get_weights()[0], np.array([0.5, 0, -0.5], np.float32)])
    return result


def write_frozen(path: Path, of: Any, **names: str) -> Path:
    """Writes the model as a frozen graph; `names` are those of its `start` and its `end`."""
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    frozen = convert_to_constants.convert_variables_to_constants_v2(
        tf.function(lambda image: of(image, training=False)).get_concrete_function(
            tf.TensorSpec((None, *of.input_shape[1:]), tf.float32, "image")
        )
    )
    with tf.Graph().as_default() as graph:
        start = tf.compat.v1.placeholder(
            tf.float32, (None, *of.input_shape[1:]), names.get("start", "input")
        )
        (result,) = tf.import_graph_def(
            frozen.graph.as_graph_def(),
            {frozen.inputs[0].name: start},
            [frozen.outputs[0].name],
            name="network",
        )
        end = tf.identity(result, names.get("end", "final_result")).op.name
    # Without the input that was replaced.
    part = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), [end])
    path.write_bytes(part.SerializeToString())
    return path


def write_keras_2(folder: Path, of: Any) -> tuple[Path, Path]:
    """Writes the model as Keras 2.0.8 did: model.json and weights.h5."""
    import h5py

    layers: list[dict[str, Any]] = []
    for layer in of.layers:
        config = {
            key: value
            for key, value in layer.get_config().items()
            if key not in ("dtype", "quantization_config", "groups", "build_config")
            and not isinstance(value, dict)
        }
        layers.append({"class_name": type(layer).__name__, "config": config})
    layers[0]["config"]["batch_input_shape"] = [None, *of.input_shape[1:]]
    description = {"class_name": "Sequential", "config": layers, "keras_version": "2.0.8"}
    (folder / "model.json").write_text(json.dumps(description))
    with h5py.File(folder / "weights.h5", "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in of.layers]
        file.attrs["keras_version"] = b"2.0.8"
        for layer in of.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.weights, strict=True):
                group[name] = weight.numpy()
    return folder / "model.json", folder / "weights.h5"
