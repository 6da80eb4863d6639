"""Imports parts of TensorFlow without the rest of it.

`import tensorflow` takes several seconds, most of them for Keras and for what Keras imports. A
session needs the native runtime and a few modules, which load in a quarter of that time. But Python
runs `tensorflow/__init__.py`, which imports everything, before it imports any module below it.

`import_lazily` therefore puts a package into `sys.modules` that runs its `__init__.py` only when
an attribute is read that the package does not have yet. Modules below it can be imported right
away, and code that uses all of TensorFlow, such as Keras, works as usual.
`importlib.util.LazyLoader` follows the same idea, but cannot be used here: it loads a package as
soon as the import system reads the package's path.
"""

import importlib.util
import sys
import types
from typing import Any

from retrain.runtimes import native_imports
from retrain.system.program.console import quiet_native_libraries

_TENSORFLOW = "tensorflow"


def import_lazily() -> None:
    """Makes `tensorflow` importable without loading it, unless it is loaded already.

    Raises:
        ModuleNotFoundError: If TensorFlow is not installed.
    """
    with native_imports.LOCK:
        if _TENSORFLOW in sys.modules:
            return
        spec = importlib.util.find_spec(_TENSORFLOW)
        if spec is None:
            raise ModuleNotFoundError("No module named 'tensorflow'", name=_TENSORFLOW)
        package = importlib.util.module_from_spec(spec)
        package.__class__ = _LazyPackage
        sys.modules[_TENSORFLOW] = package


def import_session_modules() -> Any:
    """Imports the modules that a session needs, and returns them as attributes."""
    with native_imports.LOCK, quiet_native_libraries():
        import_lazily()
        from tensorflow.python import tf2

        # `import tensorflow` starts with this, too. Modules that are imported before it behave as
        # in TensorFlow 1.
        tf2.enable()
        from tensorflow.core.framework import types_pb2
        from tensorflow.core.protobuf import config_pb2
        from tensorflow.python.client import session
        from tensorflow.python.framework import errors, importer, ops, tensor_util
    return types.SimpleNamespace(
        config_pb2=config_pb2,
        errors=errors,
        importer=importer,
        ops=ops,
        session=session,
        tensor_util=tensor_util,
        types_pb2=types_pb2,
    )


class _LazyPackage(types.ModuleType):
    """A package that runs its `__init__.py` when an attribute is missing."""

    def __getattr__(self, name: str) -> object:
        with native_imports.LOCK:
            # `__init__.py` itself can read missing attributes while it runs.
            if type(self) is _LazyPackage and not self.__dict__.get("_is_loading"):
                self.__dict__["_is_loading"] = True
                try:
                    self._load()
                finally:
                    del self.__dict__["_is_loading"]
        # `super()` would fail, because `_load` has changed the class of `self`.
        return types.ModuleType.__getattribute__(self, name)

    def _load(self) -> None:
        assert self.__spec__ is not None and self.__spec__.loader is not None
        with quiet_native_libraries():
            self.__spec__.loader.exec_module(self)
        self.__class__ = types.ModuleType  # type: ignore[assignment]
