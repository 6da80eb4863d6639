"""Runs frozen graphs in a TensorFlow 1 style session, without importing all of TensorFlow.

`import tensorflow` takes several seconds, most of them for Keras and what Keras imports in turn. A
session needs the native runtime and a few modules, a fifth of that, which is what stands between a
user and the first label.
"""

import contextlib
import importlib.util
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from retrain.system.console import quiet_native_libraries

# How messages begin of what goes wrong in a graph: where it does, not why.
_WHERE = ("Graph execution error:", "Detected at node ", "Node: ")

_import_lock = threading.Lock()


class GraphError(Exception):
    """The graph cannot be loaded or run; the message, one line, says why."""


class GraphSession:
    """A frozen graph that is ready to be run, by any number of threads."""

    def __init__(self, graph: Any, bfloat16: bool = False) -> None:
        """Loads a graph.

        Args:
            graph: a GraphDef or the bytes of one.
            bfloat16: whether to calculate with 16 bits what stands it, on a processor that can.

        Raises:
            GraphError: the bytes are not a graph, or it has operations that TensorFlow has not.
        """
        self._tf = tensorflow_session()
        self._optimised: set[tuple[str, ...]] = set()
        self._optimising = threading.Lock()
        if isinstance(graph, bytes):
            graph = parse_graph(graph)
        self._graph = self._tf.ops.Graph()
        try:
            with self._graph.as_default():
                self._tf.importer.import_graph_def(graph, name="")
            with quiet_native_libraries():
                config = self._tf.config_pb2.ConfigProto()
                rewrites = config.graph_options.rewrite_options
                # The second finds nothing, and takes as long.
                rewrites.meta_optimizer_iterations = rewrites.ONE
                if bfloat16:
                    rewrites.auto_mixed_precision_onednn_bfloat16 = rewrites.ON
                self._session = self._tf.session.Session(graph=self._graph, config=config)
        except (ValueError, TypeError, self._tf.errors.OpError) as error:
            raise GraphError(_first_line(error)) from error

    def has(self, tensor: str) -> bool:
        """Returns whether the graph has a tensor of that name, such as `input:0`."""
        return self.shape_and_dtype(tensor) is not None

    def shape_and_dtype(self, tensor: str) -> tuple[tuple[int | None, ...] | None, str] | None:
        """Returns a tensor's shape (None where unknown) and the name of its dtype, if it exists."""
        try:
            found = self._graph.get_tensor_by_name(tensor)
        except (KeyError, ValueError):
            return None
        shape = None if found.shape.rank is None else tuple(found.shape.as_list())
        return shape, found.dtype.name

    def run(self, tensor: str, feeds: Mapping[str, Any]) -> np.ndarray:
        """Returns the value of one tensor, given those of others by name.

        Raises:
            GraphError: the graph could not compute it from these values.
        """
        question = (tensor, *sorted(feeds))
        # TensorFlow optimises the graph for each question, and would in every thread that asks it
        # while no answer is there.
        first = contextlib.nullcontext() if question in self._optimised else self._optimising
        with first:
            answer = self._run(tensor, feeds)
        self._optimised.add(question)
        return answer

    def _run(self, tensor: str, feeds: Mapping[str, Any]) -> np.ndarray:
        try:
            with quiet_native_libraries():
                return self._session.run(tensor, feed_dict=dict(feeds))
        except (ValueError, TypeError, KeyError, self._tf.errors.OpError) as error:
            raise GraphError(_first_line(error)) from error

    def close(self) -> None:
        """Frees the memory of the session."""
        self._session.close()

    def __enter__(self) -> "GraphSession":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def parse_graph(data: bytes) -> Any:
    """Returns the GraphDef in `data`.

    Raises:
        GraphError: the bytes are not a graph.
    """
    from google.protobuf.message import DecodeError

    with _without_all_of_tensorflow():
        from tensorflow.core.framework import graph_pb2

    graph = graph_pb2.GraphDef()
    try:
        graph.ParseFromString(data)
    except DecodeError as error:
        raise GraphError("it has another format") from error
    if not graph.node:
        raise GraphError("it has no nodes")
    return graph


def tensorflow_session() -> Any:
    """Imports the modules that a session needs, once, and returns them as attributes."""
    with _without_all_of_tensorflow():
        from tensorflow.python import tf2

        # As `import tensorflow` begins; what is imported before it would work as in TensorFlow 1.
        tf2.enable()
        from tensorflow.core.framework import graph_pb2, types_pb2
        from tensorflow.core.protobuf import config_pb2
        from tensorflow.python.client import session
        from tensorflow.python.framework import errors, importer, ops, tensor_util
    return types.SimpleNamespace(
        config_pb2=config_pb2,
        errors=errors,
        graph_pb2=graph_pb2,
        importer=importer,
        ops=ops,
        session=session,
        tensor_util=tensor_util,
        types_pb2=types_pb2,
    )


@contextlib.contextmanager
def _without_all_of_tensorflow() -> Iterator[None]:
    """Lets modules of TensorFlow be imported without what its `__init__` imports.

    A package stands in for `tensorflow` meanwhile; a later `import tensorflow` imports it as usual.
    Only Keras must not be imported before it then: there is a circle among their modules.
    """
    with _import_lock, quiet_native_libraries():
        stand_in = None
        if "tensorflow" not in sys.modules:
            stand_in = types.ModuleType("tensorflow")
            stand_in.__path__ = _tensorflow_path()
            sys.modules["tensorflow"] = stand_in
        try:
            yield
        finally:
            if stand_in is not None:
                del sys.modules["tensorflow"]


def _tensorflow_path() -> list[str]:
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("tensorflow is not installed")
    return list(spec.submodule_search_locations)


def _first_line(error: Exception) -> str:
    lines = str(getattr(error, "message", error)).strip().splitlines()
    telling = [line for line in lines if line and not line.startswith(_WHERE)]
    return telling[0] if telling else type(error).__name__
