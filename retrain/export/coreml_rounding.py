"""Weights of depthwise convolutions in 16 bits, rounded so that answers hardly change.

What such a filter sees is smooth, so that its answer moves with the sum of its few weights. Rounded
each to the nearest number, their errors add up to most of what sixteen bits cost a network in all;
rounded so that they cancel out, to a sixth of that. Filters that are wider do not need it: their
errors cancel out by themselves.
"""

from typing import Any

import numpy as np

_NAMESPACE = "retrain"
_NAME = "round_depthwise_weights"
_BEFORE = "common::add_fp16_cast"


def keep_sums(filters: np.ndarray) -> np.ndarray:
    """Returns weights in 16 bits, each one of the two nearest, whose sums are nearly the same.

    Args:
        filters: float32 [filters, weights].

    Returns:
        float16 [filters, weights].
    """
    nearest = filters.astype(np.float16)
    largest = np.finfo(np.float16).max
    up, down = np.nextafter(nearest, largest), np.nextafter(nearest, -largest)
    other = np.where(nearest > filters, down, up)
    change = other.astype(np.float64) - nearest
    # A weight that 16 bits hold exactly, such as 0, has no second nearest.
    change[nearest == filters] = np.inf
    error = (nearest.astype(np.float64) - filters).sum(axis=1)
    rows = np.arange(len(filters))
    for _ in range(filters.shape[1]):
        best = np.abs(error[:, np.newaxis] + change).argmin(axis=1)
        changed = error + change[rows, best]
        better = rows[np.abs(changed) < np.abs(error)]
        error[better] = changed[better]
        nearest[better, best[better]] = other[better, best[better]]
        change[better, best[better]] = np.inf
    return nearest


def pipeline(ct: Any) -> Any:
    """Returns coremltools' passes over a program, with one for this before it is cast.

    Args:
        ct: the package coremltools.
    """
    _register()
    passes = ct.PassPipeline.DEFAULT
    passes.insert_pass(passes.passes.index(_BEFORE), f"{_NAMESPACE}::{_NAME}")
    return passes


def _register() -> None:
    from coremltools.converters.mil.mil.passes.graph_pass import AbstractGraphPass
    from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY

    class RoundDepthwiseWeights(AbstractGraphPass):
        def apply(self, program: Any) -> None:
            for block in program.functions.values():
                for operation in list(block.operations):
                    if _is_depthwise(operation):
                        _round(block, operation)

    PASS_REGISTRY.add(_NAMESPACE, RoundDepthwiseWeights, override=True, name=_NAME)


def _is_depthwise(operation: Any) -> bool:
    return (
        operation.op_type == "conv"
        and operation.weight.val is not None
        and operation.groups.val == operation.x.shape[1] > 1
    )


def _round(block: Any, operation: Any) -> None:
    from coremltools.converters.mil.mil import Builder

    weights = operation.weight.val
    rounded = keep_sums(weights.reshape(len(weights), -1)).astype(weights.dtype)
    with block:
        constant = Builder.const(
            val=rounded.reshape(weights.shape),
            name=f"{operation.weight.name}_rounded",
            before_op=operation,
        )
    operation.set_inputs(weight=constant)
