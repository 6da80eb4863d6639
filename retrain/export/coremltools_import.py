"""Imports coremltools, and silences it."""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from retrain.errors import UserError
from retrain.system.program.console import quiet_libraries


def load_coremltools() -> Any:
    """Imports and returns coremltools, without its warnings about untested versions.

    Raises:
        UserError: If it is not installed.
    """
    try:
        with quiet_coremltools():
            import coremltools
    except ImportError as error:
        raise UserError(
            f"Core ML files need the package coremltools, which cannot be imported here ({error}); "
            "write them on Linux or macOS"
        ) from error
    return coremltools


@contextlib.contextmanager
def quiet_coremltools() -> Iterator[None]:
    """Drops warnings, progress bars, and messages about the missing Core ML runtime."""
    # Without this variable, coremltools sets the log level of TensorFlow for the whole process.
    os.environ.setdefault("TF_SUPPRESS_LOGS", "0")
    logging.getLogger("coremltools").setLevel(logging.CRITICAL)
    with quiet_libraries():
        yield
