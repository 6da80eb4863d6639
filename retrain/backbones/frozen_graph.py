"""Networks in frozen graphs: the Inception archive of 2015, what the original wrote, and others."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from retrain.backbones import (
    backbone_cache,
    feature_parity,
    freeze,
    graph_layout,
    graph_surgery,
    keras_architectures,
)
from retrain.backbones.backbone import Backbone
from retrain.backbones.graph_layout import Layout
from retrain.config import BackboneOptions
from retrain.errors import UserError
from retrain.runtimes.graph_session import GraphError, GraphSession, parse_graph
from retrain.system.console import quiet_libraries
from retrain.system.text import first_line, name_some

# To be raised when the same file gives other features.
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
# Of these, archives of frozen graphs were published.
ARCHITECTURES = (_INCEPTION, *_MOBILENETS)
_NAMED_AT_MOST = 6


def load(options: BackboneOptions, cache_dir: Path) -> Backbone:
    """Returns the network in the frozen graph that the options name.

    Args:
        options: with `model_dir`.
        cache_dir: the folder of the cache.

    Raises:
        UserError: there is no such graph, it has no such layers, or it cannot be run.
    """
    file = _file(options)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(
            f"--model_dir={file} cannot be read: {error.strerror}; name a frozen graph"
        ) from error
    given = (
        *(options.input_layer, options.bottleneck_layer, options.input_height),
        *(options.input_width, options.input_mean, options.input_std),
    )
    decisive = json.dumps([_VERSION, hashlib.sha256(content).hexdigest(), given])
    fingerprint = hashlib.sha256(decisive.encode()).hexdigest()

    def make(folder: Path) -> backbone_cache.BackboneInfo:
        return _make(file, content, options, fingerprint, folder)

    return backbone_cache.load_or_prepare(cache_dir, file.stem, fingerprint, make)


def _file(options: BackboneOptions) -> Path:
    """Returns the graph: that of the architecture where the options name one, else the only one."""
    place, name = options.model_dir, options.architecture
    assert place is not None
    if not place.is_dir():
        return place
    if name in _MOBILENETS:
        # As the original unpacked them.
        return place / f"mobilenet_v1_{name.removeprefix(_MOBILENET)}" / "frozen_graph.pb"
    if name == _INCEPTION or (place / _INCEPTION_FILE).is_file():
        return place / _INCEPTION_FILE
    graphs = sorted(place.glob("*.pb"))
    if len(graphs) != 1:
        found = name_some((file.name for file in graphs), most=_NAMED_AT_MOST)
        raise UserError(
            f"--model_dir={place} has {f'several graphs, {found}' if graphs else 'no .pb file'}; "
            "name the file with the frozen graph"
        )
    return graphs[0]


def _make(
    file: Path, content: bytes, options: BackboneOptions, fingerprint: str, folder: Path
) -> backbone_cache.BackboneInfo:
    try:
        graph = parse_graph(content)
        # A graph that TensorFlow cannot load is told before anything is looked for in it.
        with quiet_libraries(), GraphSession(graph) as session:
            layout = graph_layout.find(graph, options, file)
            part, width = _part(graph, layout, file)
            description = backbone_cache.BackboneInfo(
                name=file.stem,
                fingerprint=fingerprint,
                height=layout.height,
                width=layout.width,
                mean=layout.mean,
                std=layout.std,
                channel_order=layout.channel_order,
                feature_width=width,
                fine_tuned=graph_layout.fine_tuned(graph),
            )
            _write(session, layout, part, description, folder)
    except GraphError as error:
        raise UserError(
            f"--model_dir={file} is not a frozen graph that can be run: {error}"
        ) from error
    if not (folder / backbone_cache.TFLITE_FILE).exists():
        logging.info("TFLite has not all operations of %s; TensorFlow runs it.", file.name)
    return description


def _part(graph: Any, layout: Layout, file: Path) -> tuple[freeze.Part, int]:
    """Returns the network between the layers, and the width of its vectors."""
    start, end = graph_surgery.passed_on_to(graph, layout.input_layer), layout.bottleneck_layer
    size = (layout.height, layout.width)
    try:
        part = graph_surgery.cut(graph, start, end)
    except graph_surgery.CutError as error:
        raise UserError(
            f"--bottleneck_layer={end} of the graph {file} cannot be learned from: {error}; name "
            "other layers with --input_layer and --bottleneck_layer"
        ) from error
    graph_surgery.modernise(part)
    try:
        shapes = dict(graph_surgery.shapes(part, f"{start}:0", size))
    except ValueError as error:
        raise UserError(
            f"the graph {file} does not take images of {layout.height} x {layout.width} pixels "
            f"at --input_layer={layout.input_layer} ({first_line(error)}); set --input_height "
            "and --input_width, or another --input_layer"
        ) from error
    width = graph_layout.vector_width(shapes.get(end))
    if not width:
        others = ", ".join(graph_layout.vectors(graph, layout.input_layer, size))
        raise UserError(
            f"--bottleneck_layer={end} of the graph {file} has not one vector for each image, "
            f"but the shape {shapes.get(end)}; choose another{f', such as {others}' * bool(others)}"
        )
    if len(shapes[end]) != 2:
        end = graph_surgery.with_flat_output(part, end, width)
    _check_names(part, end, file)
    return freeze.Part(part, f"{start}:0", f"{end}:0", scope="", also_fed=layout.input_layer), width


def _check_names(part: Any, end: str, file: Path) -> None:
    ours = {freeze.CONTENTS.partition("/")[0], *freeze.INPUTS, *freeze.FRONT_SCOPES}
    ours |= {freeze.BOTTLENECK} if end != freeze.BOTTLENECK else set()
    for node in part.node:
        if node.name.partition("/")[0] in ours:
            raise UserError(
                f"the graph {file} has the name {node.name} between its layers, which is needed "
                "for another tensor; name an --input_layer behind it"
            )


def _write(
    session: GraphSession,
    layout: Layout,
    part: freeze.Part,
    description: backbone_cache.BackboneInfo,
    folder: Path,
) -> None:
    size = (description.height, description.width)
    pixels = freeze.Pixels(*size, description.mean, description.std, description.channel_order)
    made = freeze.graph_around(part, pixels).SerializeToString(deterministic=True)
    flatbuffer = freeze.try_function_to_tflite(_function(part, size))

    def features(images: np.ndarray) -> np.ndarray:
        run = (
            session.run(f"{layout.bottleneck_layer}:0", {f"{layout.input_layer}:0": p[None]})
            for p in images
        )
        return np.concatenate([np.reshape(vector, (1, -1)) for vector in run])

    what = f"--bottleneck_layer={layout.bottleneck_layer} of the graph {description.name}"
    feature_parity.check(features, size, made, flatbuffer, name=what)
    (folder / backbone_cache.GRAPH_FILE).write_bytes(made)
    if flatbuffer is not None:
        (folder / backbone_cache.TFLITE_FILE).write_bytes(flatbuffer)


def _function(part: freeze.Part, size: tuple[int, int]) -> Any:
    """Returns the network as a function of one image."""
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    def run(pixels: Any) -> Any:
        return tf.import_graph_def(part.graph, {part.start: pixels}, [part.end], name="")[0]

    wrapped = tf.compat.v1.wrap_function(run, [tf.TensorSpec((1, *size, 3), tf.float32)])
    return convert_to_constants.convert_variables_to_constants_v2(wrapped)
