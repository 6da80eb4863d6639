"""Loads SavedModels into TensorFlow, after checking that they only compute."""

from pathlib import Path
from typing import Any

from retrain.model_limits import LIMITS
from retrain.runtimes.graph_check import check_saved_model
from retrain.runtimes.runtime import ModelError
from retrain.system.text import first_line


def load(folder: Path, *, trust_model: bool = False, allow_random: bool = False) -> Any:
    """Returns what `tf.saved_model.load` returns for a folder.

    Args:
        folder: The folder of a SavedModel.
        trust_model: Whether to load a network that does more than compute.
        allow_random: Whether to accept random operations in functions that the caller never calls.

    Raises:
        UntrustedModelError: If the SavedModel does more than compute.
        ModelError: If TensorFlow cannot load it.
    """
    import tensorflow as tf
    from tensorflow.python.saved_model.loader_impl import parse_saved_model

    try:
        for name in ("saved_model.pb", "saved_model.pbtxt"):
            _check_size(folder / name)
        if not trust_model:
            # The same parser as in `load` below, so that both read the same file of the folder.
            check_saved_model(parse_saved_model(str(folder)), allow_random=allow_random)
        return tf.saved_model.load(str(folder))
    except ModelError:
        raise
    # TensorFlow raises exceptions of many types for damaged files.
    except Exception as error:
        raise ModelError(f"TensorFlow cannot load it: {first_line(error)}") from error


def _check_size(file: Path) -> None:
    if file.exists() and file.stat().st_size > LIMITS.file_bytes:
        raise ModelError(f"its {file.name} has more than {LIMITS.file_bytes:,} bytes")
