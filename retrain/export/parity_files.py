"""Compares how an exported file decodes images itself with `retrain.data.pixels`."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from retrain.data import image_reader
from retrain.export.difference import Difference, has_same_label, measure_difference
from retrain.export.image_variant import name_variant
from retrain.export.parity_sample import Sample
from retrain.runtimes.runtime import ModelError, Runtime
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map

# Largest difference between a probability of a file and one of its pixels that needs no warning.
_DECODING_TOLERANCE = 5e-2


def compare_files(
    kind: str, runs: Sequence[tuple[Runtime, int]], sample: Sample, expected: np.ndarray
) -> Difference | None:
    """Returns the difference for files that the network decodes; None if it can decode none.

    One warning names the formats that its decoder does not support, and one warning those that it
    decodes to other pixels.

    Args:
        kind: Name of the exported file's format, for messages.
        runs: The exported file, loaded in a way that decodes files, and the index of the image to
            run. Each image can be run in several ways.
        sample: The images.
        expected: Probabilities of the classifier that was tested, float32 [N, classes].
    """
    results = list(_run_files(kind, runs, sample.paths))
    if not results:
        return None
    rows = [row for row, _ in results]
    image_count = len(set(rows))
    computed, expected = np.stack([values for _, values in results]), expected[rows]
    distances = np.abs(computed - expected).max(1)
    # Written so that NaN is different.
    same = (distances <= _DECODING_TOLERANCE) & has_same_label(computed, expected)
    if not same.all():
        different = {sample.paths[row] for row, equal in zip(rows, same, strict=True) if not equal}
        worst = int(np.where(same, -1, np.nan_to_num(distances, nan=np.inf)).argmax())
        logging.warning(
            "%s: it decodes %d of %d images differently, %s, most of all %s: a score differs by "
            "%.2g; pass such images as decoded pixels.",
            kind,
            len(different),
            image_count,
            _name_variants(different),
            sample.paths[rows[worst]],
            distances[worst],
        )
    return dataclasses.replace(measure_difference(computed, expected), images=image_count)


def _run_files(
    kind: str, runs: Sequence[tuple[Runtime, int]], paths: Sequence[Path]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the index and the probabilities of each image that the network can decode."""

    def run(job: tuple[Runtime, int]) -> np.ndarray | ModelError | None:
        runtime, row = job
        try:
            return runtime.run_file(image_reader.read(paths[row]))
        except ModelError as error:
            return error
        except OSError:
            return None  # The file was removed during the run.

    unsupported: dict[Path, ModelError] = {}
    results = parallel_map(run, runs, processor_count())
    for (_, row), result in zip(runs, results, strict=True):
        if isinstance(result, np.ndarray):
            yield row, result
        elif result is not None:
            unsupported[paths[row]] = result
    if unsupported:
        path, error = next(iter(unsupported.items()))
        logging.warning(
            "%s: its decoder does not support %d of %d images, %s, such as %s (%s); pass such "
            "images as decoded pixels.",
            kind,
            len(unsupported),
            len(paths),
            _name_variants(unsupported),
            path,
            error,
        )


def _name_variants(paths: Iterable[Path]) -> str:
    """Returns the numbers and the formats of image files, the most frequent one first."""
    counts: Counter[str] = Counter()
    for path in paths:
        try:
            counts[name_variant(image_reader.read(path))] += 1
        except OSError:
            counts["removed files"] += 1
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
