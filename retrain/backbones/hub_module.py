"""Loads backbones from TensorFlow Hub modules, which are SavedModels."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from retrain.backbones import backbone_cache, backbone_files, freeze, hub_download
from retrain.backbones.backbone import Backbone
from retrain.backbones.backbone_cache import BackboneInfo
from retrain.config import BackboneOptions
from retrain.errors import UserError
from retrain.runtimes import saved_model_import
from retrain.runtimes.graph_check import UntrustedModelError, check_graph
from retrain.runtimes.runtime import ModelError, check_image_size
from retrain.system.files import checksums
from retrain.system.program.console import quiet_libraries
from retrain.system.text import first_line

# Increase this number when the same module and options result in different features.
_VERSION = 2

# Modules take values from 0 to 1: https://www.tensorflow.org/hub/common_signatures/images
_MEAN = (0.0, 0.0, 0.0)
_STD = (255.0, 255.0, 255.0)

_IMAGENET_CLASSES = (1000, 1001)


def load(options: BackboneOptions, cache_dir: Path) -> Backbone:
    """Returns the network in the module that `options.tfhub_module` names.

    Args:
        options: Which network to load.
        cache_dir: Folder of the cache.

    Raises:
        UserError: If the module is missing, does not accept images, or does not compute one vector
            for each image.
    """
    handle = options.tfhub_module
    assert handle is not None
    folder = hub_download.find_folder(handle, cache_dir)
    input_options = (
        options.input_height,
        options.input_width,
        options.input_mean,
        options.input_std,
        hub_download.size_in_name(handle),
    )
    key = json.dumps([_VERSION, _digests(folder), input_options])
    fingerprint = hashlib.sha256(key.encode()).hexdigest()
    name = hub_download.module_name(handle)

    def prepare(new: Path) -> BackboneInfo:
        with quiet_libraries():
            module = _load_module(folder, handle, trust_model=options.trust_model)
        # This function logs, so it must not run in the block above.
        size = _input_size(options, handle, module.stated_shape)
        try:
            check_image_size(*size)
        except ModelError as error:
            raise UserError(f"--tfhub_module={handle} cannot be used: {error}") from error
        with quiet_libraries():
            info = BackboneInfo(
                name=name,
                fingerprint=fingerprint,
                height=size[0],
                width=size[1],
                mean=options.input_mean or _MEAN,
                std=options.input_std or _STD,
                channel_order="RGB",
                feature_width=_feature_width(module.call, size, handle),
                needs_trust=module.needs_trust,
            )
            network = freeze.GraphSlice.from_function(
                freeze.freeze_function(module.call, (None, *size, 3))
            )
            if not module.needs_trust:
                # This finds random operations, which the module can have for training.
                _check(network.graph, handle)
            backbone_files.write_graph(
                network,
                freeze.freeze_function(module.call, (1, *size, 3)),
                info,
                features=module.call,
                folder=new,
                name=f"--tfhub_module={handle}",
            )
        if info.feature_width in _IMAGENET_CLASSES:
            logging.warning(
                "The %d outputs of %s look like scores of classes. A feature vector module is a "
                "better base.",
                info.feature_width,
                handle,
            )
        return info

    return backbone_cache.load_or_prepare(cache_dir, name, fingerprint, prepare)


class _Module(NamedTuple):
    """A loaded module.

    Attributes:
        call: Function of float32 images [N, height, width, 3].
        stated_shape: Shape of the images according to the module, or None.
        needs_trust: Whether the module does more than compute.
    """

    call: Callable[[Any], Any]
    stated_shape: list[int | None] | None
    needs_trust: bool = False


def _digests(folder: Path) -> list[tuple[str, str]]:
    """Returns the relative path and the SHA-256 of every file in a module."""
    return [
        (str(file.relative_to(folder)), checksums.sha256(file))
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != checksums.FILE_NAME
    ]


def _load_module(folder: Path, handle: str, *, trust_model: bool) -> _Module:
    if not _is_tensorflow_2(folder, handle):
        raise hub_download.tensorflow_1_error(handle)
    try:
        return _find_call(saved_model_import.load(folder, allow_random=True), handle)
    except UntrustedModelError as error:
        if not trust_model:
            raise _not_run(handle, error) from error
        loaded = saved_model_import.load(folder, trust_model=True)
        return _find_call(loaded, handle)._replace(needs_trust=True)
    except ModelError as error:
        raise _not_loaded(handle, error) from error


def _find_call(loaded: Any, handle: str) -> _Module:
    """Returns the function of a module that computes features."""
    if callable(loaded):
        return _callable_module(loaded)
    for name, signature in getattr(loaded, "signatures", {}).items():
        arguments = signature.structured_input_signature
        if len(arguments[1]) == 1 and len(signature.structured_outputs) == 1:
            return _Module(_signature_call(loaded, name), _image_shape(arguments))
    raise UserError(
        f"--tfhub_module={handle} cannot be called with images; choose a feature vector module"
    )


def _is_tensorflow_2(folder: Path, handle: str) -> bool:
    """Returns whether a SavedModel contains objects, which TensorFlow 1 did not write."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString((folder / hub_download.SAVED_MODEL_FILE).read_bytes())
    except DecodeError as error:
        raise _not_loaded(handle, error) from error
    return any(len(graph.object_graph_def.nodes) for graph in saved_model.meta_graphs)


def _check(graph: Any, handle: str) -> None:
    try:
        check_graph(graph)
    except UntrustedModelError as error:
        raise _not_run(handle, error) from error


def _not_run(handle: str, error: UntrustedModelError) -> UserError:
    return UserError(f"--tfhub_module={handle} is not run: {error}")


def _not_loaded(handle: str, error: Exception) -> UserError:
    return UserError(f"--tfhub_module={handle} cannot be loaded: {first_line(error)}")


def _callable_module(loaded: Any) -> _Module:
    functions = getattr(loaded.__call__, "concrete_functions", None) or ()
    shapes = [_image_shape(function.structured_input_signature) for function in functions]

    def call(pixels: Any) -> Any:
        try:
            return loaded(pixels, training=False)
        except (TypeError, ValueError):
            return loaded(pixels)

    return _Module(call, next(filter(None, shapes), None))


def _signature_call(loaded: Any, name: str) -> Callable[[Any], Any]:
    """Returns a signature with one named input and one named output as a function of its input."""
    signature = loaded.signatures[name]
    _, named = signature.structured_input_signature
    (argument,), (result,) = named, signature.structured_outputs
    # The function keeps a reference to the module, without which its variables are deleted.
    return lambda pixels: loaded.signatures[name](**{argument: pixels})[result]


def _image_shape(signature: Any) -> list[int | None] | None:
    """Returns the shape of the first argument that has the rank of a batch of images."""
    import tensorflow as tf

    for value in tf.nest.flatten(signature):
        shape = getattr(value, "shape", None)
        if shape is not None and shape.rank == 4:
            return shape.as_list()
    return None


def _input_size(
    options: BackboneOptions, handle: str, stated_shape: list[int | None] | None
) -> tuple[int, int]:
    """Returns the height and width of the input images.

    The options come first, then the shape in the module, then the number in the module's name.

    Raises:
        UserError: If none of them states the size.
    """
    _, height, width, _ = stated_shape or (None, None, None, None)
    height, width = options.input_height or height, options.input_width or width
    if height is not None and width is not None:
        return height, width
    default = hub_download.size_in_name(handle)
    if default is None:
        raise UserError(
            f"--tfhub_module={handle} accepts images of any size; set --input_height and "
            "--input_width to the size that it was trained with, such as 224"
        )
    height, width = height or default, width or default
    logging.info(
        "%s accepts images of any size. They are resized to %d x %d pixels, since %d is part of "
        "its name; --input_height and --input_width set another size.",
        hub_download.module_name(handle),
        height,
        width,
        default,
    )
    return height, width


def _feature_width(call: Callable[[Any], Any], size: tuple[int, int], handle: str) -> int:
    """Returns the number of values that a module computes for an image."""
    import tensorflow as tf

    height, width = size
    try:
        features = call(tf.zeros((2, height, width, 3)))
    except Exception as error:
        raise UserError(
            f"--tfhub_module={handle} does not accept RGB images of {height} x {width} pixels "
            f"({first_line(error)}); set --input_height and --input_width, or choose a feature "
            "vector module"
        ) from error
    shape = getattr(features, "shape", None)
    if shape is None or shape.rank != 2 or features.dtype != tf.float32:
        actual = f"has the shape {shape}" if shape is not None else "consists of several tensors"
        raise UserError(
            f"--tfhub_module={handle} must compute one vector for each image, but its output "
            f"{actual}; choose a feature vector module"
        )
    return int(shape[1])
