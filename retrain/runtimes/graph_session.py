"""Runs frozen graphs in TensorFlow 1 sessions, without importing all of TensorFlow."""

import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retrain.runtimes.graph_check import check_graph
from retrain.runtimes.graph_def import full_tensor_name, parse_graph
from retrain.runtimes.preprocessing import Preprocessing
from retrain.runtimes.runtime import NO_DESCRIPTION, Description, ModelError, Outputs, Runtime
from retrain.runtimes.tensorflow_import import import_session_modules
from retrain.system.program.console import quiet_native_libraries

# Starts of lines in error messages that name the place of an error but not its cause.
_LOCATIONS = ("Graph execution error:", "Detected at node ", "Node: ")


class GraphSession:
    """A frozen graph that is ready to run in any number of threads. A context manager."""

    def __init__(self, graph: Any, *, bfloat16: bool = False, trust_model: bool = False) -> None:
        """Loads a graph.

        Args:
            graph: A GraphDef, or its serialised bytes.
            bfloat16: Whether to run operations that tolerate it in bfloat16, if the processor
                supports this.
            trust_model: Whether to load a graph that does more than compute.

        Raises:
            UntrustedModelError: If the graph does more than compute.
            ModelError: If the bytes are not a graph, or TensorFlow cannot import the graph.
        """
        self._tf = import_session_modules()
        self._optimised: set[tuple[str, ...]] = set()
        self._optimising: dict[tuple[str, ...], threading.Lock] = {}
        if isinstance(graph, bytes):
            graph = parse_graph(graph)
        if not trust_model:
            check_graph(graph)
        self._graph = self._tf.ops.Graph()
        try:
            with self._graph.as_default():
                self._tf.importer.import_graph_def(graph, name="")
            with quiet_native_libraries():
                config = self._tf.config_pb2.ConfigProto()
                rewrites = config.graph_options.rewrite_options
                # A second iteration finds nothing more and takes as long as the first.
                rewrites.meta_optimizer_iterations = rewrites.ONE
                if bfloat16:
                    rewrites.auto_mixed_precision_onednn_bfloat16 = rewrites.ON
                self._session = self._tf.session.Session(graph=self._graph, config=config)
                config = self._tf.config_pb2.ConfigProto()
                config.graph_options.rewrite_options.disable_meta_optimizer = True
                # It loads nothing before its first run.
                self._unoptimised_session = self._tf.session.Session(
                    graph=self._graph, config=config
                )
        except (ValueError, TypeError, self._tf.errors.OpError) as error:
            raise ModelError(error_reason(error)) from error

    def has(self, tensor: str) -> bool:
        """Returns whether the graph has a tensor of that name."""
        return self.shape_and_dtype(tensor) is not None

    def shape_and_dtype(self, tensor: str) -> tuple[tuple[int | None, ...] | None, str] | None:
        """Returns the shape of a tensor (None if unknown) and the name of its dtype.

        Args:
            tensor: Name of the tensor, such as `input:0`, or `input` for short.

        Returns:
            None if the graph has no such tensor.
        """
        try:
            symbolic = self._graph.get_tensor_by_name(full_tensor_name(tensor))
        except (KeyError, ValueError):
            return None
        shape = None if symbolic.shape.rank is None else tuple(symbolic.shape.as_list())
        return shape, symbolic.dtype.name

    def run(self, tensor: str, feeds: Mapping[str, Any]) -> np.ndarray:
        """Returns the value of a tensor.

        Args:
            tensor: Name of the tensor to compute, such as `bottleneck:0`, or `bottleneck`.
            feeds: Values of other tensors by name.

        Raises:
            ModelError: If the graph cannot compute the tensor from these values.
        """
        return self.run_all([tensor], feeds)[0]

    def run_all(
        self, tensors: Sequence[str], feeds: Mapping[str, Any], *, optimised: bool = True
    ) -> list[np.ndarray]:
        """Returns the values of several tensors, computed in one run.

        Args:
            tensors: Names of the tensors to compute.
            feeds: Values of other tensors by name.
            optimised: Whether TensorFlow optimises the graph before its first run. This takes a
                third of a second, and saves a seventh of the time of each run.

        Raises:
            ModelError: If the graph cannot compute the tensors from these values.
        """
        names = [full_tensor_name(tensor) for tensor in tensors]
        feeds = {full_tensor_name(name): value for name, value in feeds.items()}
        if not optimised:
            return self._run(self._unoptimised_session, names, feeds)
        signature = (*names, *sorted(feeds))
        if signature in self._optimised:
            return self._run(self._session, names, feeds)
        # TensorFlow optimises the graph for each new signature, and would do so in each thread
        # that calls before the first one has finished.
        with self._optimising.setdefault(signature, threading.Lock()):
            values = self._run(self._session, names, feeds)
        self._optimised.add(signature)
        return values

    def graph_def(self) -> Any:
        """Returns the GraphDef that the session has loaded."""
        return self._graph.as_graph_def()

    def _run(self, session: Any, tensors: list[str], feeds: Mapping[str, Any]) -> list[np.ndarray]:
        try:
            with quiet_native_libraries():
                return session.run(tensors, feed_dict=feeds)
        except (ValueError, TypeError, KeyError, self._tf.errors.OpError) as error:
            raise ModelError(error_reason(error)) from error

    def close(self) -> None:
        """Frees the memory of the session."""
        self._session.close()
        self._unoptimised_session.close()

    def __enter__(self) -> "GraphSession":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SessionRuntime(Runtime):
    """Runs a graph from its input for pixels, its input for files, or either, to one output.

    Attributes:
        session: The loaded graph.
        output: Tensor of the values.
    """

    def __init__(
        self,
        session: GraphSession,
        output: str,
        *,
        preprocessing: Preprocessing,
        batch_size: int,
        pixels_input: str | None = None,
        file_input: str | None = None,
        description: Description = NO_DESCRIPTION,
        familiarity: str | None = None,
    ) -> None:
        """Stores the session and the names of its tensors, which can leave out `:0`.

        Args:
            session: The loaded graph.
            output: Tensor of the values, float32 [N, values].
            preprocessing: Preprocessing of the pixels.
            batch_size: Best number of images for one call of `predict`.
            pixels_input: Tensor that takes preprocessed pixels, float32 [N, height, width, 3].
            file_input: Tensor that takes the content of one image file, a string scalar.
            description: Properties of the classifier that the file states.
            familiarity: Tensor of the familiarity, float32 [N], if there is one.
        """
        self.description = description
        self.takes_pixels, self.takes_files = pixels_input is not None, file_input is not None
        self.batch_size = batch_size
        self.session = session
        self.output = output
        self._familiarity = familiarity
        self._pixels_input, self._file_input = pixels_input, file_input
        self._preprocessing = preprocessing

    def predict(self, pixels: np.ndarray) -> Outputs:
        """Returns the values and the familiarity of images, computed in one run."""
        outputs = self._predict(self.feeds(pixels), optimised=True)
        if outputs.values.size % len(pixels):
            raise ModelError(f"it computes {list(outputs.values.shape)} for {len(pixels)} images")
        return outputs._replace(values=outputs.values.reshape(len(pixels), -1))

    def predict_file(self, data: bytes) -> Outputs:
        """Returns the values and the familiarity of a file, computed in one run."""
        # Files are for graphs of other programs and for checks: few images, started often.
        values, familiarity = self._predict(self.file_feeds(data), optimised=False)
        return Outputs(values.reshape(-1), None if familiarity is None else familiarity[0])

    def _predict(self, feeds: dict[str, Any], *, optimised: bool) -> Outputs:
        tensors = [self.output] + ([self._familiarity] if self._familiarity is not None else [])
        values, *others = self.session.run_all(tensors, feeds, optimised=optimised)
        return Outputs(np.asarray(values), others[0] if others else None)

    def feeds(self, pixels: np.ndarray) -> dict[str, Any]:
        """Returns the values to feed for decoded images; see `predict`."""
        if self._pixels_input is None:
            raise ModelError("it takes files, not pixels")
        return {self._pixels_input: self._preprocessing.apply(pixels)}

    def file_feeds(self, data: bytes) -> dict[str, Any]:
        """Returns the values to feed for the content of an image file; see `predict_file`."""
        if self._file_input is None:
            raise ModelError("it takes pixels, not files")
        return {self._file_input: data}

    def close(self) -> None:
        """Frees the memory of the session."""
        self.session.close()


def error_reason(error: Exception) -> str:
    """Returns the line of TensorFlow's error message that names the cause of the error."""
    lines = str(getattr(error, "message", error)).strip().splitlines()
    reasons = [line for line in lines if line and not line.startswith(_LOCATIONS)]
    reason = reasons[0] if reasons else type(error).__name__
    # Exported graphs refuse files with `Assert` operations.
    failed = re.fullmatch(r"assertion failed: \[(.*)\]", reason)
    return failed[1] if failed else reason
