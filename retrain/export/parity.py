"""Compares the probabilities of an exported file with those of the classifier that was tested."""

import dataclasses
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from retrain.backbones import engines
from retrain.export.assemble import TrainedClassifier
from retrain.export.parity_sample import Sample
from retrain.runtimes.runtime import ModelError, Runtime
from retrain.system.batches import batches
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map

_BATCH_SIZE = 4
_TIMED_IMAGES = 10
# Number of images for further ways to run a file. Errors in reading it show in every image.
_FEW_IMAGES = _BATCH_SIZE

# Largest difference between a probability of a file and one of its pixels that needs no warning.
_DECODING_TOLERANCE = 5e-2


@dataclasses.dataclass(frozen=True)
class Difference:
    """Difference between two sets of probabilities of the same images.

    Attributes:
        images: Number of images.
        agreement: Fraction of the images with the same best label, 0 to 1.
        largest: Largest absolute difference between two probabilities of a label.
        mean: Mean absolute difference between two probabilities of a label.
    """

    images: int
    agreement: float
    largest: float
    mean: float


@dataclasses.dataclass(frozen=True)
class ParityCheck:
    """How an exported file compares with the classifier that was tested.

    Attributes:
        kind: Name of the format.
        size: Size of the file, or of all files in the folder, in bytes.
        milliseconds: Time for the pixels of one image on this machine; None if this machine runs a
            reference instead.
        from_pixels: Difference if the file gets the pixels that the features were computed from, in
            all ways to run it.
        from_files: Difference if the file decodes images itself; None if it cannot. Images that its
            decoder does not support are left out.
    """

    kind: str
    size: int
    milliseconds: float | None
    from_pixels: Difference
    from_files: Difference | None

    @property
    def agreement(self) -> float:
        """The lower one of the agreements from pixels and from files, 0 to 1."""
        files = self.from_files
        return min(self.from_pixels.agreement, files.agreement if files else 1.0)


def expected_probabilities(
    classifier: TrainedClassifier, engine: str, sample: Sample
) -> np.ndarray:
    """Returns the probabilities of the classifier that was tested, float32 [N, classes].

    The features are computed again, since those in the cache are rounded to 16 bits.

    Args:
        classifier: The classifier that was tested.
        engine: Name of the engine that computed the features for its head.
        sample: The images.
    """
    name = engines.for_evaluation(engine)
    backbone, int8_network = classifier.backbone, classifier.int8_network
    with engines.create(name, backbone, int8_network=int8_network) as exact:
        return classifier.head.probabilities(_run_all(exact.load(), sample.pixels))


def check(
    kind: str,
    path: Path,
    runtimes: Sequence[Runtime],
    *,
    sample: Sample,
    expected: np.ndarray,
    timed: bool = True,
) -> ParityCheck:
    """Compares a file with the classifier that was tested.

    Images that the file decodes differently are logged.

    Args:
        kind: Name of the format.
        path: The file or folder.
        runtimes: The file, loaded in all ways that programs run it. The first one runs all images,
            the others run a few images.
        sample: Images to run.
        expected: Probabilities of the classifier that was tested, float32 [N, classes].
        timed: Whether to time the first runtime.
    """
    first, *others = runtimes
    computed = [_run_all(first, sample.pixels)]
    computed += [_run_all(runtime, sample.pixels[:_FEW_IMAGES]) for runtime in others]
    expected_of_each = [expected[: len(probabilities)] for probabilities in computed]
    from_pixels = _compare(np.concatenate(computed), np.concatenate(expected_of_each))
    return ParityCheck(
        kind=kind,
        size=_size(path),
        milliseconds=_measure_milliseconds(first, sample.pixels) if timed else None,
        from_pixels=dataclasses.replace(from_pixels, images=len(expected)),
        from_files=_compare_files(kind, first, sample, expected) if first.takes_files else None,
    )


def _run_all(runtime: Runtime, images: np.ndarray) -> np.ndarray:
    pieces = (np.stack(batch) for batch in batches(images, _BATCH_SIZE))
    return np.concatenate(list(parallel_map(runtime.run, pieces, processor_count())))


def _compare(computed: np.ndarray, expected: np.ndarray) -> Difference:
    same_label = (computed.argmax(1) == expected.argmax(1)) & np.isfinite(computed).all(1)
    distances = np.abs(computed - expected)
    return Difference(
        images=len(computed),
        agreement=float(same_label.mean()),
        largest=float(distances.max()),
        mean=float(distances.mean()),
    )


def _compare_files(
    kind: str, runtime: Runtime, sample: Sample, expected: np.ndarray
) -> Difference | None:
    """Returns the difference for files that the network decodes; None if it can decode none."""
    probabilities_of_row = dict(_run_files(kind, runtime, sample.paths))
    if not probabilities_of_row:
        return None
    rows = list(probabilities_of_row)
    probabilities = np.stack(list(probabilities_of_row.values()))
    distances = np.abs(probabilities - expected[rows]).max(1)
    if (distances > _DECODING_TOLERANCE).any():
        logging.warning(
            "%s: it decodes %d of %d images differently, most of all %s: a score differs by %.2g; "
            "pass such images as decoded pixels.",
            kind,
            (distances > _DECODING_TOLERANCE).sum(),
            len(rows),
            sample.paths[rows[distances.argmax()]],
            distances.max(),
        )
    return _compare(probabilities, expected[rows])


def _run_files(
    kind: str, runtime: Runtime, paths: Sequence[Path]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the number and the probabilities of each image that the network can decode."""

    def run(path: Path) -> np.ndarray | ModelError | None:
        try:
            return runtime.run_file(path.read_bytes())
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
        logging.info(
            "%s: its decoder does not support %d of %d images, such as %s (%s); programs that "
            "decode with Pillow do.",
            kind,
            len(unsupported),
            len(paths),
            path,
            error,
        )


def _measure_milliseconds(runtime: Runtime, images: np.ndarray) -> float:
    """Returns the median time for one image of a runtime whose first run is over."""
    seconds = []
    for number in range(min(_TIMED_IMAGES, len(images))):
        start = time.perf_counter()
        runtime.run(images[number : number + 1])
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
