"""A million synthetic bottlenecks: stored, read back, and learned from.

    bazel run //tests/benchmarks:million

Prints the seconds of each and the most memory that the process took.
"""

import hashlib
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import flags

from retrain.bottlenecks.store import open_store
from retrain.system import command_line
from retrain.training import logistic_regression

_COUNT = flags.DEFINE_integer("bottlenecks", 1_000_000, "How many.", lower_bound=20_000)

_WIDTH = 1280
_CLASSES = 10
_AT_A_TIME = 10_000
_RECIPE = "synthetic"


def main(_: list[str]) -> None:
    """Prints what each step took."""
    count = _COUNT.value
    class_ids = np.random.default_rng(0).integers(0, _CLASSES, count)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begun = time.monotonic()
        _write(folder, class_ids)
        _report("written", begun)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e9
        print(f"{'size of the cache':20} {size:7.2f} GB", flush=True)
        begun = time.monotonic()
        vectors = _read(folder, count)
        _report("read", begun)
    held_out = count // 100
    begun = time.monotonic()
    fitted = logistic_regression.train(
        (vectors[2 * held_out :], class_ids[2 * held_out :]),
        (vectors[:held_out], class_ids[:held_out]),
        _CLASSES,
    )
    _report("learned from", begun)
    test = slice(held_out, 2 * held_out)
    right = (fitted.head.logits(vectors[test]).argmax(axis=1) == class_ids[test]).mean()
    print(f"{'test accuracy':20} {100 * right:7.2f} %")
    # On Linux in KiB.
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6 * 1.024
    print(f"{'memory at most':20} {memory:7.2f} GB")


def _report(what: str, begun: float) -> None:
    print(f"{what:20} {time.monotonic() - begun:7.1f} s", flush=True)


def _keys(begin: int, end: int) -> list[tuple[bytes, int]]:
    return [(hashlib.sha256(b"%d" % i).digest(), 0) for i in range(begin, end)]


def _write(folder: Path, class_ids: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    centres = rng.normal(0, 0.1, (_CLASSES, _WIDTH))
    with open_store(folder) as store:
        for begin in range(0, len(class_ids), _AT_A_TIME):
            piece = class_ids[begin : begin + _AT_A_TIME]
            # Never negative and often zero, as a network's are.
            noise = rng.standard_normal((len(piece), _WIDTH), np.float32)
            vectors = np.maximum(noise + centres[piece], 0).astype(np.float16)
            keys = _keys(begin, begin + len(piece))
            store.put_many(_RECIPE, [(*key, v) for key, v in zip(keys, vectors, strict=True)])


def _read(folder: Path, count: int) -> np.ndarray:
    vectors = np.empty((count, _WIDTH), np.float16)
    with open_store(folder) as store:
        for begin in range(0, count, _AT_A_TIME):
            end = min(begin + _AT_A_TIME, count)
            found = store.get_many(_RECIPE, _keys(begin, end), vectors[begin:end])
            assert found.all()
    return vectors


if __name__ == "__main__":
    command_line.run(main, __doc__ or "")
