"""Packs the familiarity of a classifier into the JSON of its metadata, and unpacks it."""

import base64
import binascii
import math
import reprlib
from typing import Any

import numpy as np

from retrain.metadata import MetadataError
from retrain.model_limits import LIMITS
from retrain.runtimes.familiarity import Familiarity

_MAX_WIDTH = 1_000_000
_MAX_RANK = 1000
_MAX_POINTS = 1000
_MAX_REASON = 200
# Range of variances and scales, whose inverse must be a number that float32 can represent.
_SMALLEST, _LARGEST = 1e-20, 1e20


def pack(familiarity: Familiarity) -> dict[str, Any]:
    """Returns the familiarity as JSON values. `unpack` returns an equal one.

    Matrices are little-endian float16 numbers, row by row, in base64.
    """
    width, rank = familiarity.basis.shape
    return {
        "width": width,
        "rank": rank,
        "center": _to_base64(familiarity.center),
        "basis": _to_base64(familiarity.basis),
        "variances": familiarity.variances.tolist(),
        "means": _to_base64(familiarity.means),
        "residual_variance": familiarity.residual_variance,
        "distances": familiarity.distances.tolist(),
        "shares": familiarity.shares.tolist(),
        "tail_scale": familiarity.tail_scale,
    }


def unpack(packed: dict[str, Any] | None, *, classes: int) -> Familiarity | None:
    """Returns the familiarity in the metadata of a classifier, or None if there is none.

    The metadata can come from anyone, so the type, the size and the range of every value are
    checked.

    Args:
        packed: `Metadata.familiarity`.
        classes: Number of classes.

    Raises:
        MetadataError: If the values are not those of a familiarity.
    """
    if packed is None:
        return None
    try:
        width = _whole(packed, "width", _MAX_WIDTH)
        rank = _whole(packed, "rank", _MAX_RANK)
        distances, shares = (_numbers(packed, name) for name in ("distances", "shares"))
        if len(distances) != len(shares) or len(distances) < 2:
            raise ValueError("distances and shares are not equally long lists")
        if distances[0] < 0 or (np.diff(distances) <= 0).any():
            raise ValueError("distances do not increase")
        if shares[0] > 1 or shares[-1] <= 0 or (np.diff(shares) >= 0).any():
            raise ValueError("shares do not decrease from 1 to 0")
        variances = _numbers(packed, "variances")
        if len(variances) != rank or not ((variances >= _SMALLEST) & (variances <= _LARGEST)).all():
            raise ValueError(f"variances are not {rank} positive numbers")
        return Familiarity(
            center=_from_base64(packed, "center", (width,)),
            basis=_from_base64(packed, "basis", (width, rank)),
            variances=variances,
            means=_from_base64(packed, "means", (classes, rank)),
            residual_variance=_positive(packed, "residual_variance"),
            distances=distances,
            shares=shares,
            tail_scale=_positive(packed, "tail_scale"),
        )
    except (ValueError, TypeError, KeyError, OverflowError, binascii.Error) as error:
        reason = f"{error!r}" if isinstance(error, KeyError) else str(error)
        raise MetadataError(
            f"the familiarity in its metadata cannot be read ({reason[:_MAX_REASON]})"
        ) from error


def _to_base64(array: np.ndarray) -> str:
    return base64.b64encode(array.astype("<f2").tobytes()).decode()


def _from_base64(packed: dict[str, Any], name: str, shape: tuple[int, ...]) -> np.ndarray:
    text = packed[name]
    if not isinstance(text, str):
        raise ValueError(f"{name} is {reprlib.repr(text)}, but must be text")
    # The size of the text limits what is decoded.
    expected = 4 * math.ceil(2 * math.prod(shape) / 3)
    if len(text) != expected or expected > LIMITS.metadata_bytes:
        raise ValueError(f"{name} has {len(text):,} characters instead of {expected:,}")
    array = np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float32)
    if array.size != math.prod(shape) or not np.isfinite(array).all():
        raise ValueError(f"{name} is not {math.prod(shape):,} finite numbers")
    return array.reshape(shape)


def _whole(packed: dict[str, Any], name: str, most: int) -> int:
    value = packed[name]
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"{name} is {reprlib.repr(value)}, but must be from 1 to {most:,}")
    return value


def _positive(packed: dict[str, Any], name: str) -> float:
    value = packed[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not _SMALLEST <= value <= _LARGEST:
        raise ValueError(f"{name} is {reprlib.repr(value)}, but must be a positive number")
    return float(value)


def _numbers(packed: dict[str, Any], name: str) -> np.ndarray:
    """Returns a list of numbers as float32 [N]."""
    values = packed[name]
    if not isinstance(values, list) or len(values) > _MAX_POINTS:
        raise ValueError(f"{name} is {reprlib.repr(values)}, but must be a list of numbers")
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise ValueError(f"{name} has values that are not numbers")
    with np.errstate(over="ignore"):
        array = np.array(values, np.float64).astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has numbers that are too large")
    return array
