"""Adds the operations that compute the familiarity of images to a TensorFlow graph."""

from typing import Any

import numpy as np

from retrain.export.graph_nodes import GraphNodes
from retrain.metadata import FAMILIARITY_SCOPE, GRAPH_FAMILIARITY
from retrain.runtimes.familiarity import MIN_NORM, TAIL_SHAPE, Familiarity

_BY_ROW, _ALL = np.array([1], np.int32), np.array([-1], np.int32)


def add(graph: Any, familiarity: Familiarity, features: str) -> None:
    """Adds GRAPH_FAMILIARITY, float32 [N], which equals `Familiarity.scores` up to rounding.

    The operations are those that TensorFlow had in 2015.

    Args:
        graph: The GraphDef to extend.
        familiarity: The familiarity.
        features: Name of the node with the features, float32 [N, at least familiarity.width].
    """
    nodes = GraphNodes(graph, FAMILIARITY_SCOPE)
    offsets = _add_offsets(nodes, familiarity, features)
    projected = nodes.add("MatMul", "projected", [offsets, nodes.constant("b", familiarity.basis)])
    squares = nodes.add("Square", "projected_squares", [projected])
    means = nodes.constant("means", -2 * familiarity.means.T)
    mean_squares = nodes.constant("mean_squares", np.square(familiarity.means).sum(axis=1))
    products = nodes.add("MatMul", "products", [projected, means])
    to_means = nodes.add("BiasAdd", "to_means", [products, mean_squares])
    inside = nodes.add(
        "Add",
        "inside",
        [
            nodes.reduce("Sum", "inside_basis", squares, _BY_ROW),
            nodes.reduce("Min", "nearest", to_means, _BY_ROW),
        ],
    )
    variances = nodes.constant("variances", familiarity.variances)
    outside = nodes.add(
        "Sub",
        "outside",
        [
            nodes.reduce("Sum", "length", nodes.add("Square", "squares", [offsets]), _BY_ROW),
            nodes.reduce(
                "Sum", "in_basis", nodes.add("Mul", "scaled", [squares, variances]), _BY_ROW
            ),
        ],
    )
    weight = nodes.constant("residual", np.float32(1 / familiarity.residual_variance))
    residual = nodes.add("Mul", "weighted", [nodes.add("Relu", "positive", [outside]), weight])
    sum_of_both = nodes.add("Add", "sum", [nodes.add("Relu", "not_below", [inside]), residual])
    _add_shares(nodes, familiarity, nodes.add("Sqrt", "distance", [sum_of_both]))


def _add_offsets(nodes: GraphNodes, familiarity: Familiarity, features: str) -> str:
    """Adds the features of length 1, relative to the center."""
    begin = nodes.constant("begin", np.array([0, 0], np.int32))
    size = nodes.constant("size", np.array([-1, familiarity.width], np.int32))
    used = nodes.add("Slice", "features", [features, begin, size])
    squares = nodes.add("Square", "feature_squares", [used])
    length = nodes.reduce("Sum", "feature_length", squares, _BY_ROW, keep_dims=True)
    shortest = nodes.constant("shortest", np.float32(MIN_NORM**2))
    scale = nodes.add("Rsqrt", "scale", [nodes.add("Maximum", "longer", [length, shortest])])
    normalised = nodes.add("Mul", "normalised", [used, scale])
    center = nodes.constant("center", familiarity.center)
    return nodes.add("Sub", "offsets", [normalised, center])


def _add_shares(nodes: GraphNodes, familiarity: Familiarity, distance: str) -> None:
    """Adds the share of held-out images with larger distances."""
    points, shares = familiarity.distances, familiarity.shares
    column = nodes.constant("column", np.array([-1, 1], np.int32))
    distances = nodes.add("Reshape", "distances", [distance, column])
    # Each step between two points has its part of the decrease behind it: 0, 1 or a fraction.
    starts = nodes.constant("starts", points[:-1])
    widths = nodes.constant("widths", 1 / np.diff(points))
    after = nodes.add("Sub", "after", [distances, starts])
    fractions = nodes.add("Relu", "fractions", [nodes.add("Mul", "relative", [after, widths])])
    one = nodes.constant("one", np.float32(1))
    passed = nodes.add("Minimum", "passed", [fractions, one])
    decreases = nodes.constant("decreases", np.diff(shares)[:, np.newaxis])
    decrease = nodes.add("MatMul", "decrease", [passed, decreases])
    within = nodes.add("Add", "within", [decrease, nodes.constant("first", shares[:1])])
    last = nodes.constant("last", points[-1])
    beyond = nodes.add("Relu", "beyond", [nodes.add("Sub", "after_last", [distances, last])])
    slope = nodes.constant("slope", np.float32(TAIL_SHAPE / familiarity.tail_scale))
    base = nodes.add("Add", "base", [nodes.add("Mul", "steps", [beyond, slope]), one])
    exponent = nodes.constant("exponent", np.float32(-1 / TAIL_SHAPE))
    tail = nodes.add("Pow", "tail", [base, exponent])
    result = nodes.add("Mul", "result", [within, tail])
    flat = nodes.constant("flat", _ALL)
    nodes.add("Reshape", GRAPH_FAMILIARITY, [result, flat], in_scope=False)
