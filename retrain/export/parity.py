"""The proof that a file answers as the classifier that was tested: on real images, one by one."""

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from retrain.backbones import engines
from retrain.bottlenecks.compute import Bottlenecks
from retrain.data import pixels
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.export.answers import Answers, UndecodedError
from retrain.export.assemble import Classifier
from retrain.system.threads import parallel_map, processors

# How many held-out images a file is asked about. A run with fewer takes others for the rest.
FEWEST, MOST = 50, 500

_AT_A_TIME = 4
_TIMED = 10

# From here on a score from a file is so far from that of the same image's pixels that it is told.
_TOLD_DIFFERENCE = 5e-2


@dataclasses.dataclass(frozen=True)
class Sample:
    """What files are asked about.

    Attributes:
        paths: of N images.
        pixels: uint8 [N, height, width, 3], RGB: these images.
        held_out: how many of them nothing was learned from.
    """

    paths: tuple[Path, ...]
    pixels: np.ndarray
    held_out: int


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far answers are from those that were expected.

    Attributes:
        images: how many.
        agreement: which part of them has the same best label, 0 to 1.
        largest: of all differences between two probabilities of a label.
        mean: of them.
    """

    images: int
    agreement: float
    largest: float
    mean: float


@dataclasses.dataclass(frozen=True)
class Checked:
    """What was found out of a file.

    Attributes:
        kind: of file.
        size: of it, or of all files in the folder that it is, in bytes.
        milliseconds: that it takes for the pixels of one image, on this machine; None where it
            runs elsewhere, and a reference answered for it.
        from_pixels: where it is fed with the pixels that were learned from.
        from_files: where it decodes the images itself; None where it cannot. Images that its
            decoder does not know are not among them.
    """

    kind: str
    size: int
    milliseconds: float | None
    from_pixels: Difference
    from_files: Difference | None

    @property
    def agreement(self) -> float:
        """The lower of the agreements of the two, 0 to 1."""
        files = self.from_files
        return min(self.from_pixels.agreement, files.agreement if files else 1.0)


def draw(features: Bottlenecks, height: int, width: int, most: int = MOST) -> Sample:
    """Returns images of the test part, from all over it.

    Where these are fewer than FEWEST, those of the validation part and then of the training part
    fill up the number.

    Args:
        features: of all images that can be read.
        height: that the network takes.
        width: that the network takes.
        most: how many to return at most.
    """
    paths = _spread(_paths(features, TEST), most)
    held_out = len(paths)
    for part in (VALIDATION, TRAINING):
        paths += _spread(_paths(features, part), FEWEST - len(paths))

    def decode(path: Path) -> np.ndarray | None:
        try:
            return pixels.decode(path.read_bytes(), height, width)
        except (OSError, pixels.UnreadableImageError):
            return None  # It could be read a moment ago.

    decoded = dict(enumerate(parallel_map(decode, paths, processors())))
    read = {number: image for number, image in decoded.items() if image is not None}
    return Sample(
        tuple(paths[number] for number in read),
        np.stack(list(read.values())),
        sum(number < held_out for number in read),
    )


def expected(classifier: Classifier, engine: str, sample: Sample) -> np.ndarray:
    """Returns the probabilities, float32 [N, classes], of the classifier that was tested.

    Features in the cache are rounded to 16 bits, so that they are calculated anew.

    Args:
        classifier: that was tested.
        engine: name of the one whose features it was trained on.
        sample: the images.
    """
    name = engines.exact(engine)
    with engines.engine(name, classifier.backbone, classifier.int8_network) as exact:
        return classifier.head.probabilities(_in_batches(exact.load().features, sample))


def check(kind: str, path: Path, answers: Answers, sample: Sample, expected: np.ndarray) -> Checked:
    """Returns how a file answers, and says which images it decodes otherwise.

    Args:
        kind: of file.
        path: of the file or folder.
        answers: what is in it.
        sample: the images to ask about.
        expected: float32 [N, classes]: the probabilities of the classifier that was tested.
    """
    found = _in_batches(answers.from_pixels, sample)
    return Checked(
        kind,
        _size(path),
        _milliseconds(answers, sample.pixels),
        _difference(found, expected),
        _from_files(kind, answers, sample, expected),
    )


def untimed(checked: Checked) -> Checked:
    """Returns the same of a file for which a reference answered."""
    return dataclasses.replace(checked, milliseconds=None)


def _in_batches(function: Callable[[np.ndarray], np.ndarray], sample: Sample) -> np.ndarray:
    count = len(sample.pixels)
    batches = [sample.pixels[i : i + _AT_A_TIME] for i in range(0, count, _AT_A_TIME)]
    return np.concatenate(list(parallel_map(function, batches, processors())))


def _paths(features: Bottlenecks, part: str) -> list[Path]:
    return [image.path for image in features.part(part).images]


def _spread(paths: list[Path], most: int) -> list[Path]:
    if len(paths) <= most:
        return paths
    return [paths[number] for number in np.linspace(0, len(paths) - 1, max(most, 0)).astype(int)]


def _difference(found: np.ndarray, expected: np.ndarray) -> Difference:
    same = (found.argmax(1) == expected.argmax(1)) & np.isfinite(found).all(1)
    apart = np.abs(found - expected)
    return Difference(len(found), float(same.mean()), float(apart.max()), float(apart.mean()))


def _from_files(
    kind: str, answers: Answers, sample: Sample, expected: np.ndarray
) -> Difference | None:
    found = dict(_decoded(kind, answers, sample.paths))
    if not found:
        return None
    rows = list(found)
    scores = np.stack(list(found.values()))
    apart = np.abs(scores - expected[rows]).max(1)
    if (apart > _TOLD_DIFFERENCE).any():
        logging.warning(
            "%s: it decodes %d of %d images otherwise, %s most of all: a score differs by %.2g; "
            "feed it with pixels for files of that kind.",
            *(kind, (apart > _TOLD_DIFFERENCE).sum(), len(rows)),
            *(sample.paths[rows[apart.argmax()]], apart.max()),
        )
    return _difference(scores, expected[rows])


def _decoded(
    kind: str, answers: Answers, paths: Sequence[Path]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the number and the scores of each image that the file can decode."""
    if answers.from_file is None:
        return
    from_file = answers.from_file

    def ask(path: Path) -> np.ndarray | UndecodedError | None:
        try:
            return from_file(path.read_bytes())
        except UndecodedError as error:
            return error
        except OSError:
            return None  # It could be read a moment ago.

    undecoded = []
    for number, answer in enumerate(parallel_map(ask, paths, processors())):
        if isinstance(answer, np.ndarray):
            yield number, answer
        elif answer is not None:
            undecoded.append((paths[number], answer))
    if undecoded:
        logging.info(
            "%s: %d of %d images are of a kind that only programs with Pillow read, such as %s "
            "(%s).",
            *(kind, len(undecoded), len(paths), *undecoded[0]),
        )


def _milliseconds(answers: Answers, images: np.ndarray) -> float:
    """Returns the median time; what the first call spends on getting ready was spent before."""
    spent = []
    for number in range(min(_TIMED, len(images))):
        begin = time.perf_counter()
        answers.from_pixels(images[number : number + 1])
        spent.append(time.perf_counter() - begin)
    return 1000 * float(np.median(spent))


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
