"""Loads the graph of a backbone, with the decoder that its exports need."""

import functools
from typing import Any

from retrain.backbones.backbone import Backbone
from retrain.metadata import STRETCH
from retrain.runtimes.graph_def import parse_graph


def load(backbone: Backbone) -> Any:
    """Returns the GraphDef of a backbone, which resizes decoded files as `backbone.fit` states.

    Its tensors are those that `freeze.to_graph` lists. The graph in the file stretches images, so
    that a single file serves all values of `fit`.
    """
    if backbone.fit == STRETCH:
        return parse_graph(backbone.graph_file.read_bytes())
    return parse_graph(_with_resizing(backbone))


@functools.lru_cache(maxsize=1)  # Several exports of a run need the same graph.
def _with_resizing(backbone: Backbone) -> bytes:
    from retrain.backbones import freeze
    from retrain.system.program.console import quiet_libraries

    input_spec = freeze.InputSpec.of(backbone, fit=backbone.fit)
    graph = parse_graph(backbone.graph_file.read_bytes())
    with quiet_libraries():
        resized = freeze.replace_resizing(graph, input_spec)
    return resized.SerializeToString(deterministic=True)
