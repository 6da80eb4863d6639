"""Compares the probabilities of an exported file with those of the classifier that was tested."""

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from retrain.backbones import engines
from retrain.export.assemble import TrainedClassifier
from retrain.export.difference import Difference, measure_difference
from retrain.export.parity_files import compare_files
from retrain.export.parity_sample import Sample
from retrain.runtimes.runtime import Outputs, Runtime
from retrain.system.batches import batches
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map

_BATCH_SIZE = 4
_TIMED_IMAGES = 10
# Number of images for further ways to run a file. Errors in reading it show in every image.
_FEW_IMAGES = _BATCH_SIZE


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
        familiarity: Largest difference between a familiarity from pixels and that of the tested
            classifier; None if one of the two has none.
    """

    kind: str
    size: int
    milliseconds: float | None
    from_pixels: Difference
    from_files: Difference | None
    familiarity: float | None = None


def expected_outputs(classifier: TrainedClassifier, engine: str, sample: Sample) -> Outputs:
    """Returns the probabilities and the familiarity of the classifier that was tested.

    The features are computed again, since those in the cache are rounded to 16 bits.

    Args:
        classifier: The classifier that was tested.
        engine: Name of the engine that computed the features for its head.
        sample: The images.
    """
    name = engines.for_evaluation(engine)
    backbone, int8_network = classifier.backbone, classifier.int8_network
    with engines.create(name, backbone, int8_network=int8_network) as exact:
        features = _run_all(exact.load(), sample.pixels)
    familiarity = classifier.familiarity
    return Outputs(
        classifier.head.probabilities(features),
        None if familiarity is None else familiarity.scores(features),
    )


def check(
    kind: str,
    path: Path,
    runtimes: Sequence[Runtime],
    *,
    sample: Sample,
    expected: Outputs,
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
        expected: Probabilities and familiarity of the classifier that was tested.
        timed: Whether to time the first runtime.
    """
    first, *others = runtimes
    with ThreadPoolExecutor(1) as pool:
        # TensorFlow optimises a graph on one processor for each of its inputs. Both at the same
        # time take half as long.
        from_files = (
            pool.submit(compare_files, kind, first, sample, expected.values)
            if first.takes_files
            else None
        )
        computed = [_run_all(first, sample.pixels)]
        computed += [_run_all(runtime, sample.pixels[:_FEW_IMAGES]) for runtime in others]
    expected_of_each = [expected.values[: len(probabilities)] for probabilities in computed]
    from_pixels = measure_difference(np.concatenate(computed), np.concatenate(expected_of_each))
    return ParityCheck(
        kind=kind,
        size=_size(path),
        milliseconds=_measure_milliseconds(first, sample.pixels) if timed else None,
        from_pixels=dataclasses.replace(from_pixels, images=len(expected.values)),
        from_files=from_files.result() if from_files else None,
        familiarity=_measure_familiarity(runtimes, sample.pixels[:_FEW_IMAGES], expected),
    )


def _measure_familiarity(
    runtimes: Sequence[Runtime], images: np.ndarray, expected: Outputs
) -> float | None:
    """Returns the largest difference of a familiarity; infinite if one is not a number."""
    if expected.familiarity is None:
        return None
    computed = [runtime.predict(images).familiarity for runtime in runtimes]
    differences = [
        float(np.abs(familiarity - expected.familiarity[: len(images)]).max())
        for familiarity in computed
        if familiarity is not None
    ]
    return float(np.nan_to_num(max(differences), nan=np.inf)) if differences else None


def _run_all(runtime: Runtime, images: np.ndarray) -> np.ndarray:
    pieces = (np.stack(batch) for batch in batches(images, _BATCH_SIZE))
    return np.concatenate(list(parallel_map(runtime.run, pieces, processor_count())))


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
