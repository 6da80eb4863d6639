"""Networks in modules of TensorFlow Hub: SavedModels from images to a vector for each."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from retrain.backbones import backbone_cache, feature_parity, freeze, hub_download
from retrain.backbones.backbone import Backbone
from retrain.config import BackboneOptions
from retrain.errors import UserError
from retrain.system.console import quiet_libraries
from retrain.system.text import first_line

# To be raised when the same module gives other features.
_VERSION = 2

# https://www.tensorflow.org/hub/common_signatures/images: values from 0 to 1.
_MEAN = (0.0, 0.0, 0.0)
_STD = (255.0, 255.0, 255.0)

_CLASSES_OF_IMAGENET = (1000, 1001)


def load(options: BackboneOptions, cache_dir: Path) -> Backbone:
    """Returns the network in the module that the options name.

    Args:
        options: with `tfhub_module`.
        cache_dir: the folder of the cache.

    Raises:
        UserError: there is no such module, it gives no vectors, or it takes no such images.
    """
    handle = options.tfhub_module
    assert handle is not None
    folder = hub_download.find(handle, cache_dir)
    given = (
        *(options.input_height, options.input_width, options.input_mean, options.input_std),
        hub_download.size_in_name(handle),
    )
    decisive = json.dumps([_VERSION, _digests(folder), given])
    fingerprint = hashlib.sha256(decisive.encode()).hexdigest()
    name = hub_download.name(handle)

    def make(new: Path) -> backbone_cache.BackboneInfo:
        with quiet_libraries():
            network, stated = _network(folder, handle)
        size = _size(options, handle, stated)
        with quiet_libraries():
            description = backbone_cache.BackboneInfo(
                name=name,
                fingerprint=fingerprint,
                height=size[0],
                width=size[1],
                mean=options.input_mean or _MEAN,
                std=options.input_std or _STD,
                channel_order="RGB",
                feature_width=_feature_width(network, size, handle),
            )
            has_flatbuffer = _write(network, description, new, handle)
        if description.feature_width in _CLASSES_OF_IMAGENET:
            logging.warning(
                "%s gives %d numbers, which look like scores of classes; a module that is called "
                "feature vector is the better base.",
                *(handle, description.feature_width),
            )
        if not has_flatbuffer:
            logging.info("TFLite has not all operations of %s; TensorFlow runs it.", name)
        return description

    return backbone_cache.load_or_prepare(cache_dir, name, fingerprint, make)


def _digests(folder: Path) -> list[tuple[str, str]]:
    """Returns all that is in the module."""
    return [
        (str(file.relative_to(folder)), hashlib.sha256(file.read_bytes()).hexdigest())
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]


def _network(folder: Path, handle: str) -> tuple[Callable[[Any], Any], list[int | None] | None]:
    """Returns the module as a function, and the shape of images that it states, if any."""
    import tensorflow as tf

    if not _is_of_tensorflow_2(folder, handle):
        raise UserError(
            f"--tfhub_module={handle} is in the format of TensorFlow 1; choose one for "
            "TensorFlow 2, or freeze it to a graph for --model_dir"
        )
    try:
        module = tf.saved_model.load(str(folder))
    # What TensorFlow raises depends on what it stumbles over.
    except Exception as error:
        raise _not_loaded(handle, error) from error
    call, stated = _call(module)
    if call is None:
        raise UserError(
            f"--tfhub_module={handle} cannot be called with images; choose a module that is "
            "called feature vector"
        )
    return call, stated


def _feature_width(network: Callable[[Any], Any], size: tuple[int, int], handle: str) -> int:
    """Returns how wide the vectors are that a module gives for normalised pixels."""
    import tensorflow as tf

    height, width = size
    try:
        features = network(tf.zeros((2, height, width, 3)))
    except Exception as error:
        raise UserError(
            f"--tfhub_module={handle} does not take images of {height} x {width} pixels in "
            f"colour ({first_line(error)}); set --input_height and --input_width, or choose a "
            "module that is called feature vector"
        ) from error
    shape = getattr(features, "shape", None)
    if shape is None or shape.rank != 2 or features.dtype != tf.float32:
        raise UserError(
            f"--tfhub_module={handle} does not give one vector for each image, but "
            f"{f'the shape {shape}' if shape is not None else 'several tensors'}; choose a module "
            "that is called feature vector"
        )
    return int(shape[1])


def _is_of_tensorflow_2(folder: Path, handle: str) -> bool:
    """Tells whether a SavedModel holds objects, as TensorFlow 2 writes it, and not just a graph."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((folder / hub_download.SAVED_MODEL).read_bytes())
    except DecodeError as error:
        raise _not_loaded(handle, error) from error
    return any(len(graph.object_graph_def.nodes) for graph in saved.meta_graphs)


def _not_loaded(handle: str, error: Exception) -> UserError:
    return UserError(f"--tfhub_module={handle} cannot be loaded: {first_line(error)}")


def _call(module: Any) -> tuple[Callable[[Any], Any] | None, Any]:
    """Returns how to call the module, and the shape of images that it states, if any."""
    if callable(module):
        functions = getattr(module.__call__, "concrete_functions", None) or ()
        shapes = [_shape(function.structured_input_signature) for function in functions]

        def called(pixels: Any) -> Any:
            try:
                return module(pixels, training=False)
            except (TypeError, ValueError):
                return module(pixels)

        return called, next(filter(None, shapes), None)
    for name, function in getattr(module, "signatures", {}).items():
        _, named = function.structured_input_signature
        if len(named) == 1 and len(function.structured_outputs) == 1:
            return _by_position(module, name), _shape(function.structured_input_signature)
    return None, None


def _by_position(module: Any, name: str) -> Callable[[Any], Any]:
    """Returns a signature of one input and one output, which have names, as a function."""
    signature = module.signatures[name]
    _, named = signature.structured_input_signature
    (argument,), (result,) = named, signature.structured_outputs
    # Through the module, which its variables live as long as.
    return lambda pixels: module.signatures[name](**{argument: pixels})[result]


def _shape(signature: Any) -> list[int | None] | None:
    """Returns the shape of the first argument that is like a batch of images."""
    import tensorflow as tf

    for value in tf.nest.flatten(signature):
        shape = getattr(value, "shape", None)
        if shape is not None and shape.rank == 4:
            return shape.as_list()
    return None


def _size(
    options: BackboneOptions, handle: str, stated: list[int | None] | None
) -> tuple[int, int]:
    """Returns height and width of the images: as the user says, or the module, or its name.

    Raises:
        UserError: nobody says it.
    """
    _, height, width, _ = stated or (None, None, None, None)
    height, width = options.input_height or height, options.input_width or width
    if height is not None and width is not None:
        return height, width
    usual = hub_download.size_in_name(handle)
    if usual is None:
        raise UserError(
            f"--tfhub_module={handle} takes images of any size: set --input_height "
            "and --input_width to what it was trained with, such as 224"
        )
    height, width = height or usual, width or usual
    logging.info(
        "%s takes images of any size, and has %d in its name: they are brought to %d x %d "
        "pixels; --input_height and --input_width set another size.",
        *(hub_download.name(handle), usual, height, width),
    )
    return height, width


def _write(
    network: Callable[[Any], Any],
    description: backbone_cache.BackboneInfo,
    folder: Path,
    handle: str,
) -> bool:
    """Writes the files of a backbone, and tells whether TFLite has one."""
    size = (description.height, description.width)
    frozen = _frozen(network, (None, *size, 3))
    part = freeze.Part(frozen.graph.as_graph_def(), frozen.inputs[0].name, frozen.outputs[0].name)
    pixels = freeze.Pixels(*size, description.mean, description.std, description.channel_order)
    graph = freeze.graph_around(part, pixels).SerializeToString(deterministic=True)
    flatbuffer = freeze.try_function_to_tflite(_frozen(network, (1, *size, 3)))
    feature_parity.check(network, size, graph, flatbuffer, name=f"--tfhub_module={handle}")
    (folder / backbone_cache.GRAPH_FILE).write_bytes(graph)
    if flatbuffer is not None:
        (folder / backbone_cache.TFLITE_FILE).write_bytes(flatbuffer)
    return flatbuffer is not None


def _frozen(network: Callable[[Any], Any], shape: tuple[int | None, ...]) -> Any:
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    traced = tf.function(network, autograph=False).get_concrete_function(
        tf.TensorSpec(shape, tf.float32)
    )
    return convert_to_constants.convert_variables_to_constants_v2(traced)
