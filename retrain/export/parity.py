"""Compares the probabilities of an exported file with those of the classifier that was tested."""

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain.backbones import engines
from retrain.export.assemble import TrainedClassifier
from retrain.export.difference import Difference, measure_difference
from retrain.export.parity_files import compare_files
from retrain.export.parity_sample import Sample
from retrain.runtimes.familiarity import Familiarity
from retrain.runtimes.runtime import Outputs, Runtime
from retrain.system.batches import batches
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map

_BATCH_SIZE = 4
_TIMED_IMAGES = 10
# Number of images for further ways to run a file. Errors in reading it show in every image.
_FEW_IMAGES = _BATCH_SIZE
# Errors that rounding can explain: of a feature, as a fraction of the largest one, and of a
# distance to the classes, as a fraction of it.
_FEATURE_ERROR = 1e-4
_DISTANCE_ERROR = 0.02
# Number of sets of such errors that are tried.
_ROUNDINGS = 8


@dataclasses.dataclass(frozen=True)
class ParityCheck:
    """How an exported file compares with the classifier that was tested.

    Attributes:
        kind: Name of the format.
        size: Size of the file, or of all files in the folder, in bytes.
        milliseconds: Time for the pixels of one image on this machine; None if this machine runs a
            reference instead.
        from_pixels: Difference if the file gets the pixels that the features were computed from, in
            all ways to run it. Only this difference decides whether the file is written.
        from_files: Difference if the file decodes images itself; None if it cannot. Images that its
            decoder does not support are left out.
        familiarity: Largest difference between a familiarity from pixels and the range that
            rounding explains; None if the file or the tested classifier has no familiarity.
    """

    kind: str
    size: int
    milliseconds: float | None
    from_pixels: Difference
    from_files: Difference | None
    familiarity: float | None = None


class Expected(NamedTuple):
    """The outputs of the classifier that was tested.

    Attributes:
        probabilities: Probabilities, float32 [N, classes].
        familiarity: Smallest and largest familiarity that rounding explains, float32 [2, N]; None
            if the classifier has none.
    """

    probabilities: np.ndarray
    familiarity: np.ndarray | None


def expected_outputs(classifier: TrainedClassifier, engine: str, sample: Sample) -> Expected:
    """Returns the outputs of the classifier that was tested.

    The features are computed again, since those in the cache are rounded to 16 bits.

    Args:
        classifier: The classifier that was tested.
        engine: Name of the engine that computed the features for its head.
        sample: The images.
    """
    name = engines.for_evaluation(engine)
    backbone, int8_network = classifier.backbone, classifier.int8_network
    with engines.create(name, backbone, int8_network=int8_network) as exact:
        features = _predict_all(exact.load(), sample.pixels).values
    probabilities = classifier.head.probabilities(features)
    if classifier.familiarity is None:
        return Expected(probabilities, None)
    return Expected(probabilities, _familiarity_range(classifier.familiarity, features))


def _familiarity_range(familiarity: Familiarity, features: np.ndarray) -> np.ndarray:
    """Returns the smallest and the largest familiarity of features with other rounding errors.

    If the features of a class hardly differ, rounding changes the distances to it by a large part.

    Args:
        familiarity: Familiarity of the classifier.
        features: float32 [N, width].

    Returns:
        float32 [2, N].
    """
    noise = np.random.default_rng(0).standard_normal((_ROUNDINGS, *features.shape), np.float32)
    noise *= _FEATURE_ERROR * np.abs(features).max(initial=0)
    distances = np.stack([familiarity.class_distances(features + error) for error in noise])
    return familiarity.shares_of(
        np.stack(
            [
                distances.max(axis=0) * (1 + _DISTANCE_ERROR),
                distances.min(axis=0) * (1 - _DISTANCE_ERROR),
            ]
        )
    )


def check(
    kind: str,
    path: Path,
    runtimes: Sequence[Runtime],
    *,
    sample: Sample,
    expected: Expected,
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
        expected: Outputs of the classifier that was tested.
        timed: Whether to time the first runtime.
    """
    first, *others = runtimes
    rows = range(len(sample.paths))
    file_runs = [
        (runtime, row)
        for runtime in runtimes
        if runtime.takes_files
        for row in (rows if runtime is first else rows[:_FEW_IMAGES])
    ]
    with ThreadPoolExecutor(1) as pool:
        # TensorFlow optimises a graph on one processor for each of its inputs. Both at the same
        # time take half as long.
        from_files = pool.submit(compare_files, kind, file_runs, sample, expected.probabilities)
        computed = [_predict_all(first, sample.pixels)]
        computed += [_predict_all(runtime, sample.pixels[:_FEW_IMAGES]) for runtime in others]
    from_pixels = measure_difference(
        np.concatenate([outputs.values for outputs in computed]),
        np.concatenate([expected.probabilities[: len(outputs.values)] for outputs in computed]),
    )
    return ParityCheck(
        kind=kind,
        size=_size(path),
        milliseconds=_measure_milliseconds(first, sample.pixels) if timed else None,
        from_pixels=dataclasses.replace(from_pixels, images=len(expected.probabilities)),
        from_files=from_files.result(),
        familiarity=_measure_familiarity(computed, expected.familiarity),
    )


def _measure_familiarity(computed: Sequence[Outputs], expected: np.ndarray | None) -> float | None:
    """Returns the largest distance from the expected range; infinite if one is not a number."""
    if expected is None:
        return None
    differences = [
        np.maximum(low[: len(outputs.values)] - familiarity, familiarity - high[: len(familiarity)])
        for outputs in computed
        if (familiarity := outputs.familiarity) is not None
        for low, high in [expected]
    ]
    if not differences:
        return None
    return float(np.nan_to_num(np.concatenate(differences), nan=np.inf).max().clip(min=0))


def _predict_all(runtime: Runtime, images: np.ndarray) -> Outputs:
    pieces = (np.stack(batch) for batch in batches(images, _BATCH_SIZE))
    outputs = list(parallel_map(runtime.predict, pieces, processor_count()))
    familiarity = [piece.familiarity for piece in outputs if piece.familiarity is not None]
    return Outputs(
        np.concatenate([piece.values for piece in outputs]),
        np.concatenate(familiarity) if familiarity else None,
    )


def _measure_milliseconds(runtime: Runtime, images: np.ndarray) -> float:
    """Returns the median time for one image of a runtime whose first run is over."""
    seconds = []
    for number in range(min(_TIMED_IMAGES, len(images))):
        start = time.perf_counter()
        runtime.predict(images[number : number + 1])
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
