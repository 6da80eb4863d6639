"""Measures storing, reading and training on a million synthetic bottlenecks.

    bazel run //tests/benchmarks:million

Prints the seconds of each step and the peak memory of the process.
"""

import hashlib
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import flags

from retrain.bottlenecks.store import open_store
from retrain.system.program import command_line
from retrain.training.strength_selection import fit_with_selected_strength
from retrain.training.training_set import TrainingSet
from tests.benchmarks import peak_memory

_COUNT = flags.DEFINE_integer(
    "bottlenecks", 1_000_000, "Number of bottlenecks.", lower_bound=20_000
)

_STAGE_WIDTHS = (192, 112)
_WIDTH = 1280 + sum(_STAGE_WIDTHS)
_CLASSES = 10
_BATCH_SIZE = 10_000
_RECIPE = "synthetic"


def main(_: list[str]) -> None:
    """Prints the result of each step."""
    count = _COUNT.value
    class_ids = np.random.default_rng(0).integers(0, _CLASSES, count)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.monotonic()
        _write(folder, class_ids)
        _print_seconds("write", start)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e9
        print(f"{'size of the cache':20} {size:7.2f} GB", flush=True)
        start = time.monotonic()
        features = _read(folder, count)
        _print_seconds("read", start)
    held_out = count // 100
    start = time.monotonic()
    head = fit_with_selected_strength(
        TrainingSet(
            features[2 * held_out :],
            class_ids[2 * held_out :],
            _CLASSES,
            stage_widths=_STAGE_WIDTHS,
        ),
        (features[:held_out], class_ids[:held_out]),
    ).head
    _print_seconds("train", start)
    test = slice(held_out, 2 * held_out)
    accuracy = (head.logits(features[test]).argmax(axis=1) == class_ids[test]).mean()
    print(f"{'test accuracy':20} {100 * accuracy:7.2f} %")
    print(f"{'peak memory':20} {peak_memory.of_this_process() / 1e9:7.2f} GB")


def _print_seconds(step: str, start: float) -> None:
    print(f"{step:20} {time.monotonic() - start:7.1f} s", flush=True)


def _keys(start: int, stop: int) -> list[tuple[bytes, int]]:
    return [(hashlib.sha256(b"%d" % i).digest(), 0) for i in range(start, stop)]


def _write(folder: Path, class_ids: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    centres = rng.normal(0, 0.1, (_CLASSES, _WIDTH))
    with open_store(folder) as store:
        for start in range(0, len(class_ids), _BATCH_SIZE):
            batch = class_ids[start : start + _BATCH_SIZE]
            # Like the features of a network: never negative, and often zero.
            noise = rng.standard_normal((len(batch), _WIDTH), np.float32)
            features = np.maximum(noise + centres[batch], 0).astype(np.float16)
            keys = _keys(start, start + len(batch))
            store.put_vectors(_RECIPE, [(*key, f) for key, f in zip(keys, features, strict=True)])


def _read(folder: Path, count: int) -> np.ndarray:
    features = np.empty((count, _WIDTH), np.float16)
    with open_store(folder) as store:
        for start in range(0, count, _BATCH_SIZE):
            stop = min(start + _BATCH_SIZE, count)
            is_stored = store.get_vectors(_RECIPE, _keys(start, stop), features[start:stop])
            assert is_stored.all()
    return features


if __name__ == "__main__":
    command_line.run(main, __doc__)
