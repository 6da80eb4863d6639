"""Rounds the weights of depthwise convolutions to float16 with little effect on the scores.

The inputs of depthwise filters are smooth, so their output depends mostly on the sum of their few
weights. If each weight is rounded to the nearest number, the errors of these sums are most of the
error that float16 causes in a network. Here they are a sixth of that, because the weights are
rounded so that their errors cancel out. In wider filters, they cancel out by themselves.
"""

from typing import Any

import numpy as np

_NAMESPACE = "retrain"
_PASS_NAME = "round_depthwise_weights"
# The pass of coremltools that casts weights to float16.
_CAST_PASS = "common::add_fp16_cast"


def round_keeping_sums(filters: np.ndarray) -> np.ndarray:
    """Rounds each weight up or down so that the sum of each filter changes as little as possible.

    Args:
        filters: Weights, float32 [filters, weights].

    Returns:
        Rounded weights, float16 [filters, weights].
    """
    rounded = filters.astype(np.float16)
    largest = np.finfo(np.float16).max
    up, down = np.nextafter(rounded, largest), np.nextafter(rounded, -largest)
    other = np.where(rounded > filters, down, up)
    change = other.astype(np.float64) - rounded
    # Weights that float16 represents exactly, such as 0, are never changed.
    change[rounded == filters] = np.inf
    error = (rounded.astype(np.float64) - filters).sum(axis=1)
    rows = np.arange(len(filters))
    for _ in range(filters.shape[1]):
        # In each filter, round the weight the other way that reduces the error of the sum most.
        columns = np.abs(error[:, np.newaxis] + change).argmin(axis=1)
        new_error = error + change[rows, columns]
        improved = rows[np.abs(new_error) < np.abs(error)]
        error[improved] = new_error[improved]
        rounded[improved, columns[improved]] = other[improved, columns[improved]]
        change[improved, columns[improved]] = np.inf
    return rounded


def pass_pipeline(ct: Any) -> Any:
    """Returns the default pipeline of coremltools with a pass that rounds depthwise weights.

    Args:
        ct: The package coremltools.
    """
    _register()
    passes = ct.PassPipeline.DEFAULT
    passes.insert_pass(passes.passes.index(_CAST_PASS), f"{_NAMESPACE}::{_PASS_NAME}")
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

    PASS_REGISTRY.add(_NAMESPACE, RoundDepthwiseWeights, override=True, name=_PASS_NAME)


def _is_depthwise(operation: Any) -> bool:
    return (
        operation.op_type == "conv"
        and operation.weight.val is not None
        and operation.groups.val == operation.x.shape[1] > 1
    )


def _round(block: Any, operation: Any) -> None:
    from coremltools.converters.mil.mil import Builder

    weights = operation.weight.val
    rounded = round_keeping_sums(weights.reshape(len(weights), -1)).astype(weights.dtype)
    with block:
        constant = Builder.const(
            val=rounded.reshape(weights.shape),
            name=f"{operation.weight.name}_rounded",
            before_op=operation,
        )
    operation.set_inputs(weight=constant)
