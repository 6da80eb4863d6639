"""Loads backbones from frozen graphs: the Inception graph of 2015, retrained graphs, and others."""

import contextlib
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from retrain.backbones import backbone_cache, frozen_network, graph_layout, keras_architectures
from retrain.backbones.backbone import Backbone, BackboneInfo
from retrain.config import BackboneOptions
from retrain.errors import UserError
from retrain.metadata import GRAPH_NODE
from retrain.model_limits import LIMITS
from retrain.runtimes import fit_flag
from retrain.runtimes.graph_check import UntrustedModelError, check_graph
from retrain.runtimes.graph_def import parse_graph
from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.runtime import ModelError, check_image_size
from retrain.system.files.regular_files import read_regular_file
from retrain.system.program.console import quiet_libraries
from retrain.system.text import name_some

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
    file = find_file(options)
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


def find_file(options: BackboneOptions) -> Path:
    """Returns the path of the graph for the architecture, or else of the only graph in a folder.

    Args:
        options: Which network to load, with a `model_dir`.

    Raises:
        UserError: If a folder does not contain just one graph.
    """
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
            network = frozen_network.cut(graph, layout, file)
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
            frozen_network.write_files(session, layout, network.graph_slice, info, folder=folder)
    except ModelError as error:
        raise UserError(
            f"--model_dir={file} is not a frozen graph that TensorFlow can run: {error}; name "
            "another file"
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
