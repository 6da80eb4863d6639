"""Finds the function in a TensorFlow Hub module, a SavedModel, that computes features."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from retrain.backbones import hub_download
from retrain.errors import UserError
from retrain.runtimes import saved_model_import
from retrain.runtimes.graph_check import UntrustedModelError, check_graph
from retrain.runtimes.runtime import ModelError
from retrain.system.text import first_line


class HubFunction(NamedTuple):
    """The function of a loaded module.

    Attributes:
        call: Function of float32 images [N, height, width, 3].
        stated_shape: Shape of the images according to the module, or None.
        needs_trust: Whether the module does more than compute.
    """

    call: Callable[[Any], Any]
    stated_shape: list[int | None] | None
    needs_trust: bool = False


def load(folder: Path, handle: str, *, trust_model: bool) -> HubFunction:
    """Loads the function of a module.

    Args:
        folder: Folder of the module.
        handle: Value of --tfhub_module, for messages.
        trust_model: Whether to load a module that does more than compute.

    Raises:
        UserError: If the module cannot be loaded, has no such function or is not trusted.
    """
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


def check(graph: Any, handle: str) -> None:
    """Raises UserError if the graph of a module does more than compute."""
    try:
        check_graph(graph)
    except UntrustedModelError as error:
        raise _not_run(handle, error) from error


def measure_feature_width(call: Callable[[Any], Any], size: tuple[int, int], handle: str) -> int:
    """Returns the number of values that a module computes for an image.

    Args:
        call: See `HubFunction`.
        size: Height and width of the images in pixels.
        handle: Value of --tfhub_module, for messages.

    Raises:
        UserError: If the module does not take such images, or does not compute a vector for each.
    """
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


def _find_call(loaded: Any, handle: str) -> HubFunction:
    """Returns the function of a module that computes features."""
    if callable(loaded):
        return _callable_module(loaded)
    for name, signature in getattr(loaded, "signatures", {}).items():
        arguments = signature.structured_input_signature
        if len(arguments[1]) == 1 and len(signature.structured_outputs) == 1:
            return HubFunction(_signature_call(loaded, name), _image_shape(arguments))
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


def _not_run(handle: str, error: UntrustedModelError) -> UserError:
    return UserError(f"--tfhub_module={handle} is not run: {error}")


def _not_loaded(handle: str, error: Exception) -> UserError:
    return UserError(
        f"--tfhub_module={handle} cannot be loaded: {first_line(error)}; choose another module"
    )


def _callable_module(loaded: Any) -> HubFunction:
    functions = getattr(loaded.__call__, "concrete_functions", None) or ()
    shapes = [_image_shape(function.structured_input_signature) for function in functions]

    def call(pixels: Any) -> Any:
        try:
            return loaded(pixels, training=False)
        except (TypeError, ValueError):
            return loaded(pixels)

    return HubFunction(call, next(filter(None, shapes), None))


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
