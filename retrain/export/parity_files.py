"""Compares how an exported file decodes images itself with `retrain.data.pixels`."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
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
    kind: str, runtime: Runtime, sample: Sample, expected: np.ndarray
) -> Difference | None:
    """Returns the difference for files that the network decodes; None if it can decode none.

    One warning names the formats that its decoder does not support, and one warning those that it
    decodes to other pixels.

    Args:
        kind: Name of the exported file's format, for messages.
        runtime: The exported file.
        sample: Images to run.
        expected: Probabilities of the classifier that was tested, float32 [N, classes].
    """
    probabilities_of_row = dict(_run_files(kind, runtime, sample.paths))
    if not probabilities_of_row:
        return None
    rows = list(probabilities_of_row)
    computed, expected = np.stack(list(probabilities_of_row.values())), expected[rows]
    distances = np.abs(computed - expected).max(1)
    # Written so that NaN is different.
    same = (distances <= _DECODING_TOLERANCE) & has_same_label(computed, expected)
    if not same.all():
        different = [sample.paths[row] for row, equal in zip(rows, same, strict=True) if not equal]
        worst = int(np.where(same, -1, np.nan_to_num(distances, nan=np.inf)).argmax())
        logging.warning(
            "%s: it decodes %d of %d images differently, %s, most of all %s: a score differs by "
            "%.2g; pass such images as decoded pixels.",
            kind,
            len(different),
            len(rows),
            _name_variants(different),
            sample.paths[rows[worst]],
            distances[worst],
        )
    return measure_difference(computed, expected)


def _run_files(
    kind: str, runtime: Runtime, paths: Sequence[Path]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the number and the probabilities of each image that the network can decode."""

    def run(path: Path) -> np.ndarray | ModelError | None:
        try:
            return runtime.run_file(image_reader.read(path))
        except ModelError as error:
            return error
        except OSError:
            return None  # The file was removed during the run.

    unsupported = []
    for number, result in enumerate(parallel_map(run, paths, processor_count())):
        if isinstance(result, np.ndarray):
            yield number, result
        elif result is not None:
            unsupported.append((paths[number], result))
    if unsupported:
        path, error = unsupported[0]
        logging.warning(
            "%s: its decoder does not support %d of %d images, %s, such as %s (%s); pass such "
            "images as decoded pixels.",
            kind,
            len(unsupported),
            len(paths),
            _name_variants([path for path, _ in unsupported]),
            path,
            error,
        )


def _name_variants(paths: Sequence[Path]) -> str:
    """Returns the numbers and the formats of image files, the most frequent one first."""
    counts: Counter[str] = Counter()
    for path in paths:
        try:
            counts[name_variant(image_reader.read(path))] += 1
        except OSError:
            counts["removed files"] += 1
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
