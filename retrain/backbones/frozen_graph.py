"""Loads backbones from frozen graphs: the Inception graph of 2015, retrained graphs, and others."""

import contextlib
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retrain.backbones import (
    backbone_cache,
    backbone_files,
    freeze,
    graph_layout,
    graph_surgery,
    keras_architectures,
)
from retrain.backbones.backbone import Backbone
from retrain.backbones.backbone_cache import BackboneInfo
from retrain.backbones.graph_layout import Layout
from retrain.config import BackboneOptions
from retrain.errors import UserError
from retrain.metadata import GRAPH_BOTTLENECK, GRAPH_NODE
from retrain.model_limits import LIMITS
from retrain.runtimes import fit_flag
from retrain.runtimes.graph_check import UntrustedModelError, check_graph
from retrain.runtimes.graph_def import parse_graph
from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.runtime import ModelError, check_image_size
from retrain.system.files.regular_files import read_regular_file
from retrain.system.program.console import quiet_libraries
from retrain.system.text import first_line, name_some

# Increase this number when the same graph and options result in different features.
_VERSION = 2

_INCEPTION = "inception_v3"
_INCEPTION_FILE = "classify_image_graph_def.pb"
_MOBILENET = "mobilenet_"
_MOBILENETS = tuple(
    f"{name}{suffix}"
    for name in keras_architectures.ARCHITECTURES
    if name not in keras_architectures.NAMES
    for suffix in ("", "_quantized")
)
# Values of `--architecture` for which archives with frozen graphs were published.
ARCHITECTURES = (_INCEPTION, *_MOBILENETS)
_MAX_LISTED = 6


def load(options: BackboneOptions, cache_dir: Path) -> Backbone:
    """Returns the network in the frozen graph that `options.model_dir` names.

    Args:
        options: Which network to load.
        cache_dir: Folder of the cache.

    Raises:
        UserError: If the graph is missing, lacks the layers, or cannot be run.
    """
    file = _find_file(options)
    try:
        content = read_regular_file(file, LIMITS.file_bytes)
    except OSError as error:
        raise UserError(
            f"--model_dir={file} cannot be read: {error.strerror}; name a frozen graph"
        ) from error
    layout_options = (
        options.input_layer,
        options.bottleneck_layer,
        options.input_height,
        options.input_width,
        options.input_mean,
        options.input_std,
    )
    key = json.dumps([_VERSION, hashlib.sha256(content).hexdigest(), layout_options])
    fingerprint = hashlib.sha256(key.encode()).hexdigest()

    def prepare(folder: Path) -> BackboneInfo:
        return _prepare(content, options, file, fingerprint=fingerprint, folder=folder)

    fit = _resolve_fit(content, options, file)
    backbone = backbone_cache.load_or_prepare(cache_dir, file.stem, fingerprint, prepare)
    return dataclasses.replace(backbone, fit=fit)


def _resolve_fit(content: bytes, options: BackboneOptions, file: Path) -> str:
    """Returns how images are resized: as in the run that made the graph, or else as requested."""
    stated = None
    # Parsing any other graph would be in vain. `_prepare` reports one that cannot be parsed.
    if GRAPH_NODE.encode() in content:
        with contextlib.suppress(ModelError):
            stated = graph_layout.stated_fit(parse_graph(content))
    return fit_flag.resolve(options.fit, stated, f"--model_dir={file}")


def _find_file(options: BackboneOptions) -> Path:
    """Returns the path of the graph for the architecture, or else of the only graph in a folder."""
    path, architecture = options.model_dir, options.architecture
    assert path is not None
    if not path.is_dir():
        return path
    if architecture in _MOBILENETS:
        # The original retrain.py unpacked its archives to such folders.
        name = architecture.removeprefix(_MOBILENET)
        return path / f"mobilenet_v1_{name}" / "frozen_graph.pb"
    if architecture == _INCEPTION or (path / _INCEPTION_FILE).is_file():
        return path / _INCEPTION_FILE
    graphs = sorted(file.name for file in path.glob("*.pb"))
    if not graphs:
        raise UserError(f"--model_dir={path} contains no .pb file; name a frozen graph")
    if len(graphs) > 1:
        raise UserError(
            f"--model_dir={path} contains several graphs, {name_some(graphs, most=_MAX_LISTED)}; "
            "name one of the files"
        )
    return path / graphs[0]


def _prepare(
    content: bytes, options: BackboneOptions, file: Path, *, fingerprint: str, folder: Path
) -> BackboneInfo:
    try:
        graph = parse_graph(content)
        needs_trust = _needs_trust(graph, options, file, allow_random=True)
        # The session comes first, so that an unusable graph is reported as such.
        with quiet_libraries(), GraphSession(graph, trust_model=True) as session:
            layout = graph_layout.find_layout(graph, options, file)
            check_image_size(layout.height, layout.width)
            network = _cut_network(graph, layout, file)
            # Random operations in other parts, such as initial values of weights, do not matter.
            needs_trust |= _needs_trust(network.graph_slice.graph, options, file)
            info = BackboneInfo(
                name=file.stem,
                fingerprint=fingerprint,
                height=layout.height,
                width=layout.width,
                mean=layout.mean,
                std=layout.std,
                channel_order=layout.channel_order,
                feature_width=network.feature_width,
                fine_tuned=graph_layout.is_fine_tuned(graph),
                needs_trust=needs_trust,
            )
            _write(session, layout, network.graph_slice, info, folder=folder)
    except ModelError as error:
        raise UserError(
            f"--model_dir={file} is not a frozen graph that TensorFlow can run: {error}"
        ) from error
    return info


def _needs_trust(
    graph: Any, options: BackboneOptions, file: Path, *, allow_random: bool = False
) -> bool:
    """Returns whether a graph does more than compute.

    Raises:
        UserError: If it does, and the user does not trust it.
    """
    try:
        check_graph(graph, allow_random=allow_random)
    except UntrustedModelError as error:
        if not options.trust_model:
            raise UserError(f"--model_dir={file} is not run: {error}") from error
        return True
    return False


class _Network(NamedTuple):
    graph_slice: freeze.GraphSlice
    feature_width: int


def _cut_network(graph: Any, layout: Layout, file: Path) -> _Network:
    """Returns the part of a graph between its input layer and its bottleneck layer."""
    start = graph_surgery.follow_identities(graph, layout.input_layer)
    end = layout.bottleneck_layer
    size = (layout.height, layout.width)
    try:
        part = graph_surgery.extract_between(graph, start, end)
    except graph_surgery.CutError as error:
        raise UserError(
            f"--bottleneck_layer={end} of the graph {file} cannot be used: {error}; name other "
            "layers with --input_layer and --bottleneck_layer"
        ) from error
    graph_surgery.replace_legacy_operations(part)
    graph_surgery.make_portable(part)
    try:
        shapes = dict(graph_surgery.infer_shapes(part, f"{start}:0", size))
    except ValueError as error:
        raise UserError(
            f"the graph {file} does not accept images of {layout.height} x {layout.width} pixels "
            f"at --input_layer={layout.input_layer} ({first_line(error)}); set --input_height "
            "and --input_width, or another --input_layer"
        ) from error
    width = graph_layout.vector_width(shapes.get(end))
    if not width:
        others = graph_layout.find_vector_layers(graph, layout.input_layer, size)
        examples = f", such as {', '.join(others)}" if others else ""
        raise UserError(
            f"--bottleneck_layer={end} of the graph {file} must compute one vector for each image, "
            f"but its shape is {shapes.get(end)}; name another layer{examples}"
        )
    if len(shapes[end]) != 2:
        end = graph_surgery.append_flatten(part, end, width)
    _check_names(part, end, file)
    graph_slice = freeze.GraphSlice(
        part, f"{start}:0", f"{end}:0", scope="", extra_input=layout.input_layer
    )
    return _Network(graph_slice, width)


def _check_names(part: Any, end: str, file: Path) -> None:
    """Raises UserError if a node has a name that the preprocessing in front of it needs."""
    reserved = set(freeze.RESERVED_NAMES)
    if end == GRAPH_BOTTLENECK:
        reserved.remove(end)
    for node in part.node:
        if node.name.partition("/")[0] in reserved:
            raise UserError(
                f"the graph {file} has a node {node.name} between its layers, but that name is "
                "reserved; name an --input_layer after that node"
            )


def _write(
    session: GraphSession,
    layout: Layout,
    graph_slice: freeze.GraphSlice,
    info: BackboneInfo,
    *,
    folder: Path,
) -> None:
    def features(images: np.ndarray) -> np.ndarray:
        # Old graphs accept only one image at a time.
        rows = (
            session.run(f"{layout.bottleneck_layer}:0", {f"{layout.input_layer}:0": image[None]})
            for image in images
        )
        return np.concatenate([np.reshape(row, (1, -1)) for row in rows])

    backbone_files.write_graph(
        graph_slice,
        _single_image_function(graph_slice, (layout.height, layout.width)),
        info,
        features=features,
        folder=folder,
        name=f"--bottleneck_layer={layout.bottleneck_layer} of the graph {info.name}",
    )


def _single_image_function(graph_slice: freeze.GraphSlice, size: tuple[int, int]) -> Any:
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    def run(pixels: Any) -> Any:
        feeds = {graph_slice.start: pixels}
        return tf.import_graph_def(graph_slice.graph, feeds, [graph_slice.end], name="")[0]

    wrapped = tf.compat.v1.wrap_function(run, [tf.TensorSpec((1, *size, 3), tf.float32)])
    return convert_to_constants.convert_variables_to_constants_v2(wrapped)
